"""Owns the tests of reading image towers without a classifier: CLIP's, SigLIP's, and SigLIP's in Google's arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.checkpoints import hf_relatives
from app.checkpoints.load import Converted, ConvertOptions, read_checkpoint
from app.checkpoints.rules import Dims, Layout, write
from app.network.vit import VisionTransformer
from tests.checkpoints.networks import RELATIVES, drawn
from tests.checkpoints.test_load import bare, refused
from tests.parity.google import write_npz

START = ConvertOptions(heads=4, for_training=True)
SIGLIP = drawn(RELATIVES["map"])
BESIDE = {"text_model.embeddings.weight": torch.ones(1), "logit_scale": torch.ones(1), "logit_bias": torch.ones(1)}


def layout(name: str, prefix: str) -> Layout:
    """The one of that class whose names begin so."""
    return next(
        each
        for each in hf_relatives.LAYOUTS
        if each.name == name and each.rules[1].theirs[0].startswith(f"{prefix}embeddings")
    )


def siglip_of_transformers(prefix: str) -> dict[str, torch.Tensor]:
    state = dict(SIGLIP.state_dict())
    written, _ = write(layout("SiglipModel", prefix), state, Dims(4))
    pool = {f"{prefix}head.attention.in_proj_{leaf}": f"attn_pool.{{}}.{leaf}" for leaf in ("weight", "bias")}
    return written | {
        theirs: torch.cat([state[ours.format(each)] for each in ("q", "kv")]) for theirs, ours in pool.items()
    }


def assert_is_siglip(found: Converted) -> None:
    config = RELATIVES["map"]
    package = found.package
    assert package.network.has_dead_head
    expected = VisionTransformer(package.network.config).eval().requires_grad_(False)
    expected.load_state_dict({**SIGLIP.state_dict(), "head.weight": torch.zeros(1, 64), "head.bias": torch.zeros(1)})
    assert package.network.config.global_pool == config.global_pool
    assert (package.network.config.gelu, package.network.config.class_token) == ("tanh", False)
    for key, tensor in expected.state_dict().items():
        assert torch.equal(tensor, package.network.state_dict()[key]), key


@pytest.mark.parametrize("prefix", ["vision_model.", ""])  # of transformers 4, and of 5 where the tower stands alone
def test_siglips_tower_is_a_start_with_its_attention_pooling(prefix: str, tmp_path: Path):
    path = bare(tmp_path, {**siglip_of_transformers(prefix), **(BESIDE if prefix else {})})
    refused(path, "no head to classify with", "train --from")
    found = read_checkpoint(path, START)
    assert_is_siglip(found)
    assert any("prepared as for siglip" in remark for remark in found.remarks)


@pytest.mark.parametrize("prefix", ["vision_model.", ""])
def test_clips_tower_is_a_start(prefix: str, tmp_path: Path):
    network = drawn(RELATIVES["clip"])
    written, _ = write(layout("CLIPModel", prefix), dict(network.state_dict()), Dims(4))
    path = bare(tmp_path, {key: tensor.contiguous() for key, tensor in written.items()})
    refused(path, "no head to classify with")
    found = read_checkpoint(path, START)
    assert (found.package.network.config.pre_norm, found.package.network.config.gelu) == (True, "quick")
    assert any("prepared as for clip" in remark for remark in found.remarks)


@pytest.mark.parametrize("prefix", ["params/img/", "img/", "params/", ""])
@pytest.mark.parametrize("stacked", [True, False])
def test_googles_siglip_is_a_start_without_its_text_tower(prefix: str, stacked: bool, tmp_path: Path):
    form = {"linen": True, "stacked": stacked}
    write_npz(tmp_path / "all.npz", SIGLIP.state_dict(), 4, prefix=prefix, position="pos_embedding", **form)
    with np.load(tmp_path / "all.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files if "head/" not in name}
    root = "params/" if prefix.startswith("params/") else ""
    if prefix.endswith("img/"):
        kept |= {f"{root}txt/pos_embedding": np.ones(1), f"{root}t": np.ones(1), f"{root}b": np.ones(1)}
    np.savez(tmp_path / "w.npz", **kept)
    refused(tmp_path / "w.npz", "no head to classify with", "train --from", options=ConvertOptions())
    found = read_checkpoint(tmp_path / "w.npz", ConvertOptions(for_training=True))
    assert_is_siglip(found)
    assert found.package.preprocess.library == "tensorflow"
    assert found.package.preprocess.crop_mode == "squash"


def test_a_classifier_on_googles_siglip_is_served(tmp_path: Path):
    write_npz(tmp_path / "w.npz", SIGLIP.state_dict(), 4, linen=True, prefix="params/", position="pos_embedding")
    network = read_checkpoint(tmp_path / "w.npz").package.network
    assert all(torch.equal(tensor, network.state_dict()[key]) for key, tensor in SIGLIP.state_dict().items())
