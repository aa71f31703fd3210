"""Owns the tests of families.py: whose way to prepare images is taken for a file that does not say."""

import hashlib
from pathlib import Path

import pytest
import torch

from app.checkpoints import families, hf, hf_relatives, npz, timm, torchvision
from app.checkpoints.families import assumed_family
from app.checkpoints.load import ConvertOptions, read_checkpoint
from app.checkpoints.rules import Dims, Layout, write
from app.package.variants import ViTConfig
from tests.checkpoints.networks import TINY, drawn

B16, L16, H14 = (
    ViTConfig((224, 224), patch, width, num_heads=16) for patch, width in ((16, 768), (16, 1024), (14, 1280))
)
HF = {layout.name: layout for layout in hf_relatives.LAYOUTS}
TV, LAST = torchvision.LAYOUTS[0], "0" * 64


@pytest.mark.parametrize(
    ("config", "name", "family", "open_"),
    [
        (B16, "w.pth", "torchvision", True),
        (L16, "w.pth", "torchvision-l16", True),
        (H14, "w.pth", "torchvision-swag", False),
        (B16, "vit_b_16_lc_swag.safetensors", "torchvision-swag", False),
        (B16, "My-SWAG.pth", "torchvision-swag", False),
        (ViTConfig((384, 384)), "w.pth", "torchvision-swag", False),
        (ViTConfig(patch_size=32), "w.pth", "torchvision", False),
        (ViTConfig((384, 384), 32), "w.pth", "torchvision", False),  # there is no SWAG of these patches
        (ViTConfig((512, 512), 16, 1024, num_heads=16), "w.pth", "torchvision-swag", False),
    ],
)
def test_torchvisions_weights_by_what_they_can_be(config: ViTConfig, name: str, family: str, open_: bool):
    found, other = assumed_family(TV, config, name, {name: LAST})
    assert found == family
    assert (other is not None) == open_
    if other:
        assert "--preprocess torchvision-swag" in other


def test_the_name_may_be_that_of_the_file_in_a_folder():
    assert assumed_family(TV, B16, "folder", {"vit_b_16_swag.pth": LAST}) == ("torchvision-swag", None)


@pytest.mark.parametrize(
    ("layout", "config", "name", "family"),
    [
        (timm.LAYOUTS[0], B16, "w.pth", "timm-augreg"),
        (timm.LAYOUTS[0], B16, "DeiT-b.pth", "timm-deit"),
        (timm.LAYOUTS[0], ViTConfig(distilled=True), "w.pth", "timm-deit"),
        (hf.LAYOUTS[0], B16, "w.bin", "hf-vit"),
        (hf.LAYOUTS[0], ViTConfig(distilled=True), "w.bin", "hf-deit"),
        (hf.LAYOUTS[0], ViTConfig(patch_size=1, backbone_layers=(3, 4, 9)), "w.bin", "hf-vit-hybrid"),
        (HF["CLIPForImageClassification"], B16, "w.bin", "clip"),
        (HF["SiglipModel"], B16, "w.bin", "siglip"),
        (HF["SiglipForImageClassification"], B16, "w.bin", "siglip"),
        (HF["Dinov2WithRegistersForImageClassification"], B16, "w.bin", "dinov2"),
        (timm.LAYOUTS[0], ViTConfig(pre_norm=True), "w.pth", "clip"),
        (npz.LAYOUTS[0], B16, "w.npz", "google"),
        (npz.LAYOUTS[-1], B16, "w.npz", "big-vision"),
        (npz.READ_ONLY[0], B16, "w.npz", "google"),
    ],
)
def test_the_other_formats(layout: Layout, config: ViTConfig, name: str, family: str):
    assert assumed_family(layout, config, name, {name: LAST}) == (family, None)


def test_a_file_is_known_by_its_digest_and_else_the_remark_says_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = ViTConfig(**{**TINY, "embed_dim": 768, "depth": 1})
    written, _ = write(TV, drawn(config).state_dict(), Dims(4))
    torch.save({key: tensor.clone() for key, tensor in written.items()}, tmp_path / "w.pth")
    options = ConvertOptions(heads=4)
    result = read_checkpoint(tmp_path / "w.pth", options)
    assert result.package.preprocess.interpolation == "bilinear"
    [remark] = [each for each in result.remarks if "prepared" in each]
    assert "IMAGENET1K_SWAG_LINEAR_V1" in remark
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(families._RELEASED, digest, "torchvision-swag")
    spec = read_checkpoint(tmp_path / "w.pth", options).package.preprocess
    assert (spec.interpolation, spec.crop_pct) == ("bicubic", 1.0)
