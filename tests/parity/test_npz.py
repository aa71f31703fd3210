"""Owns the comparison with timm's reader of Google's `.npz`, on files written by neither of the two."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from app.checkpoints.export import export_package
from app.checkpoints.own import save_package
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig
from tests.parity.compare import assert_same_logits, converted
from tests.parity.conftest import made, run_reference

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
CASES = (
    *("plain", "optimizer", "big_vision", "stacked", "siglip", "siglip_stacked"),
    *("hybrid_r50", "hybrid_r26", "hybrid_stem", "full"),
)
EXPORTED = {
    "plain": ("vit_base_patch16_224", {}, 48),
    "hybrid_r50": ("vit_base_r50_s16_224", {"img_size": 64}, 64),
}
SMALL = {"img_size": 48, "embed_dim": 64, "depth": 3, "num_heads": 4, "num_classes": 7}


@pytest.fixture(scope="module")
def cases() -> Iterator[Path]:
    with made("npz") as folder:
        yield folder


def as_timm_computes(network: VisionTransformer) -> VisionTransformer:
    """The same weights with timm's constants: it takes JAX's files, but not JAX's GELU and epsilons."""
    usual = ViTConfig()
    names = ("gelu", "group_norm_eps", "standardization", "standardization_eps")
    other = VisionTransformer(replace(network.config, **{name: getattr(usual, name) for name in names}))
    other.load_state_dict(network.state_dict())
    return other.eval()


@pytest.mark.parametrize("name", CASES)
def test_timms_reader_reads_the_same(name: str, cases: Path):
    network = converted(cases / name).package.network
    state = load_file(cases / name / "state.safetensors")
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    assert_same_logits(as_timm_computes(network), cases / name)


@pytest.mark.parametrize("name", ["plain", "hybrid_r50", "hybrid_stem"])
def test_round_trip_is_bit_equal(name: str, cases: Path, tmp_path: Path):
    save_package(tmp_path / "package", converted(cases / name).package)
    export_package(tmp_path / "package", "npz", tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back, np.load(cases / name / "weights.npz") as original:
        assert set(back.files) == set(original.files)
        for key in back.files:
            assert back[key].shape == original[key].shape
            assert np.array_equal(back[key], original[key])


def test_timm_reads_what_we_write(cases: Path, tmp_path: Path):
    for name, (architecture, arguments, size) in EXPORTED.items():
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        save_package(tmp_path / name, converted(cases / name).package)
        export_package(tmp_path / name, "npz", folder / "m.npz")
        case = {"architecture": architecture, "arguments": {**SMALL, **arguments}, "file": "m.npz", "size": size}
        (folder / "case.json").write_text(json.dumps(case))
    run_reference("read", "npz", tmp_path / "out")
    for name in EXPORTED:
        assert_same_logits(as_timm_computes(converted(cases / name).package.network), tmp_path / "out" / name)
