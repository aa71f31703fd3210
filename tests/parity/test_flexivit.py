"""Owns the comparison of patches and positions at other sizes with timm's, which goes by FlexiViT's name; as a file."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.checkpoints.load import ConvertOptions, read_checkpoint
from app.network.resize import ResizeMode, resize_patch_kernel
from tests.parity.compare import drawn
from tests.parity.google import write_npz

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
SHAPE: dict[str, Any] = {"img_size": 64, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 4}
LARGER: dict[str, Any] = {**SHAPE, "img_size": 96, "patch_size": 24}


def assert_same(theirs: Any, source: Path, options: ConvertOptions, atol: float = 1e-10) -> None:
    ours = read_checkpoint(source, options).package.network
    torch.manual_seed(1)
    x = torch.randn(2, 3, *ours.config.img_size, dtype=torch.float64)
    with torch.inference_mode():
        expected = theirs.eval().double()(x)
        assert expected.std() > 1e-2
        torch.testing.assert_close(ours.double()(x), expected, atol=atol, rtol=0)


@pytest.mark.parametrize("architecture", ["flexivit_small", "vit_small_patch16_224"])
@pytest.mark.parametrize("change", [{"patch_size": 24}, {"patch_size": 10}, {"size": (80, 80)}, {"size": (48, 96)}])
def test_a_hub_folder_is_resized_as_timm_does(timm: Any, architecture: str, change: dict[str, Any], tmp_path: Path):
    network = drawn(timm.create_model(architecture, num_classes=5, **SHAPE), 0.2)
    timm.models.save_for_hf(network, str(tmp_path), model_args=SHAPE, safe_serialization=True)
    patch = change.get("patch_size", 16)
    size = change.get("size", (4 * patch, 4 * patch))
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, patch_size=patch, img_size=size)
    assert_same(theirs, tmp_path, ConvertOptions(**change))


def test_a_bare_file_goes_by_its_name(timm: Any, tmp_path: Path):
    network = drawn(timm.create_model("flexivit_small", num_classes=5, **SHAPE), 0.2)
    timm.models.save_for_hf(network, str(tmp_path / "hub"), model_args=SHAPE, safe_serialization=True)
    save_file(network.state_dict(), tmp_path / "flexivit_small.safetensors")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True, patch_size=24, img_size=96)
    assert_same(theirs, tmp_path / "flexivit_small.safetensors", ConvertOptions(heads=4, patch_size=24))


def test_googles_arrays_are_resized_as_timms_reader_does(timm: Any, tmp_path: Path):
    network = drawn(timm.create_model("flexivit_small", num_classes=5, **SHAPE), 0.2)
    form: dict[str, Any] = {"linen": True, "prefix": "params/", "position": "pos_embedding"}
    write_npz(tmp_path / "weights.npz", network.state_dict(), 4, **form)
    theirs = timm.create_model("flexivit_small", num_classes=5, act_layer="gelu_tanh", **LARGER).requires_grad_(False)
    theirs.load_pretrained(str(tmp_path / "weights.npz"))
    assert_same(
        theirs, tmp_path / "weights.npz", ConvertOptions(patch_size=24), atol=1e-5
    )  # timm multiplies in JAX's order of axes


@pytest.mark.parametrize("mode", ["timm", "timm_npz"])
@pytest.mark.parametrize(("old", "new"), [(16, 8), (16, 30), (32, 30), (14, 16), (8, 60)])
def test_a_kernel_is_timms_bit_for_bit(timm: Any, mode: ResizeMode, old: int, new: int):
    kernel = torch.randn(8, 3, old, old)
    how = {"timm": {}, "timm_npz": {"interpolation": "bilinear", "antialias": False}}[mode]
    expected = timm.layers.resample_patch_embed(kernel, [new, new], **how)
    assert torch.equal(resize_patch_kernel(kernel, new, mode), expected)
