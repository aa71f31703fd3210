"""Owns the tests that every kind of network trains: hybrid, distilled, each position embedding."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F

from app.errors import SetupError
from app.package.variants import VARIANTS, Position
from app.training.loop import StepReport, Trainer
from app.training.start import random_start
from tests.training.pictures import RECIPE, SHAPE, fresh, stripes

KINDS: list[dict[str, Any]] = [
    {"backbone_layers": (), "patch_size": 2},
    {"backbone_layers": (1, 2), "patch_size": 1},
    {"distilled": True},
    {"stem_widths": (8, 8), "patch_size": 4},
    {"stem_widths": (8, 8), "patch_size": 4, "distilled": True},
    {"lite_stages": 4, "patch_size": 1},
    {"gelu": "tanh", "no_embed_class": True},
    *[{"position": position} for position in get_args(Position)],
]
NAME = "vit_test_kind"


def trainer(monkeypatch: pytest.MonkeyPatch, precision: torch.dtype, **changes: Any) -> Trainer:
    monkeypatch.setitem(VARIANTS, NAME, replace(SHAPE, **changes))
    recipe = replace(RECIPE, variant=NAME)
    return Trainer(recipe, fresh(recipe), 2, torch.device("cpu"), precision)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_a_step_moves_every_kind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: torch.dtype, changes: dict[str, Any]
):
    subject = trainer(monkeypatch, precision, **changes)
    before = {name: value.clone() for name, value in subject.master.state_dict().items()}
    run = subject.run(stripes(32), stripes(8), tmp_path / "c.pt")
    reports = [next(run) for _ in range(2)]  # the first step of a new residual unit moves its last layer alone
    assert all(isinstance(report, StepReport) and 0 < report.loss < 2 for report in reports)
    still = [name for name, value in subject.master.state_dict().items() if torch.equal(value, before[name])]
    assert still == []


def test_the_loss_of_a_distilled_network_is_the_mean_over_its_heads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    subject = trainer(monkeypatch, torch.float32, distilled=True)
    subject.recipe = replace(subject.recipe, drop_path_rate=0.0, flip=0.0, augment_until=0.0, label_smoothing=0.0)
    subject.worker.load_state_dict(subject.master.state_dict())
    data, seen = stripes(16), []
    subject.worker.register_forward_hook(lambda _, __, out: seen.append(out))
    report = next(subject.run(data, stripes(8), tmp_path / "c.pt"))
    assert isinstance(report, StepReport)
    [(ours, distilled)] = seen
    targets = data.targets[subject._batches(16)[0]]
    expected = (F.cross_entropy(ours, targets) + F.cross_entropy(distilled, targets)) / 2
    assert report.loss == pytest.approx(expected.item(), abs=1e-6)
    assert not torch.equal(ours, distilled)


def test_patches_cannot_be_dropped_where_every_layer_counts_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(VARIANTS, NAME, replace(SHAPE, position="relative"))
    with pytest.raises(SetupError, match=f"{NAME}.*patch_drop_rate"):
        random_start(replace(RECIPE, variant=NAME, patch_drop_rate=0.5))
