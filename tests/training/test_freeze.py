"""Owns the tests of training/freeze.py, and that what is frozen comes out of training bit by bit as it went in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.network.mlp import Mlp
from app.network.vit import VisionTransformer
from app.training.freeze import freeze
from app.training.loop import Trainer
from app.training.start import load_start
from tests.training.pictures import RECIPE, SHAPE, stripes, write_start

EMBEDDINGS = {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
TUNING = replace(RECIPE, variant="", epochs=2, drop_rate=0.1, drop_path_rate=0.3)


def test_nothing_is_frozen_unless_asked_for():
    network = VisionTransformer(SHAPE)
    assert freeze(network, "") == []
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("what", ["0", "1", "2", "backbone"])
def test_the_part_named_is_frozen(what: str):
    network = VisionTransformer(replace(SHAPE, distilled=True))
    modules = freeze(network, what)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert frozen >= EMBEDDINGS | {"dist_token"}
    assert learning >= {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}
    blocks = 2 if what == "backbone" else int(what)
    assert {name.split(".")[1] for name in frozen if name.startswith("blocks.")} == {str(i) for i in range(blocks)}
    assert not any(name.startswith(f"blocks.{i}.") for name in learning for i in range(blocks))
    assert ("norm.weight" in frozen) == (what == "backbone")
    assert [module for module in modules if module in list(network.blocks)] == list(network.blocks)[:blocks]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("what", ["0", "1", "backbone"])
@pytest.mark.parametrize("changes", [{}, {"stem_widths": (8, 8, 16)}, {"distilled": True}], ids=str)
def test_what_is_frozen_stays_bit_by_bit(tmp_path: Path, changes: dict[str, Any], what: str, precision: torch.dtype):
    recipe = replace(TUNING, freeze=what)
    start = load_start(str(write_start(tmp_path / "start", **changes)), recipe)
    trainer = Trainer(recipe, start, 2, torch.device("cpu"), precision)
    for _ in trainer.run(stripes(32), stripes(8), tmp_path / "c.pt"):
        pass
    before = start.network(2).state_dict()
    prefixes = ("cls_token", "dist_token", "pos_embed", "patch_embed.", *(["blocks.0."] if what != "0" else []))
    if what == "backbone":
        prefixes += ("blocks.1.", "norm.")
    for network in (trainer.master, trainer.average):
        for name, value in network.state_dict().items():
            assert torch.equal(value, before[name]) == name.startswith(prefixes), name


def test_a_stem_that_is_not_frozen_learns_its_batch_statistics(tmp_path: Path):
    start = load_start(str(write_start(tmp_path / "start", stem_widths=(8, 8, 16))), TUNING)
    trainer = Trainer(TUNING, start, 2, torch.device("cpu"), torch.float32)
    for _ in trainer.run(stripes(32), stripes(8), tmp_path / "c.pt"):
        pass
    name = "patch_embed.stem.0.norm.running_mean"
    assert not torch.equal(trainer.master.state_dict()[name], start.network(2).state_dict()[name])


def test_nothing_is_dropped_in_frozen_blocks(tmp_path: Path):
    recipe = replace(TUNING, freeze="1")
    start = load_start(str(write_start(tmp_path / "start")), recipe)
    trainer = Trainer(recipe, start, 2, torch.device("cpu"), torch.float32)
    modes: list[bool] = []
    for module in (module for module in trainer.worker.modules() if isinstance(module, Mlp)):
        module.register_forward_hook(lambda module, *_: modes.append(module.training))
    next(trainer.run(stripes(32), stripes(8), tmp_path / "c.pt"))
    assert modes == [False, True]
