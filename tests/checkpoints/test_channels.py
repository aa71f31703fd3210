"""Owns the tests of networks that do not take RGB: grey ones see pictures, others say why they do not."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.checkpoints.export import export_package
from app.checkpoints.load import read_checkpoint
from app.checkpoints.own import load_package
from app.checkpoints.sources import load_servable
from app.domain import PreprocessSpec
from app.errors import PackageError
from app.imaging.decode import DecodeLimits
from app.imaging.resample import preprocess
from app.network.fold import PIXEL_OFFSET, fold_normalisation
from app.network.library import LibraryNetwork
from app.package.preprocessing import preprocess_from_hf, preprocess_from_timm, preprocess_to_timm, with_channels
from app.package.variants import ViTConfig
from tests.checkpoints.networks import TINY, drawn, saved

GREY = PreprocessSpec(32, 32, crop_pct=1.0, mean=(0.4,), std=(0.3,))
FRONTS: dict[str, dict[str, object]] = {
    "plain": {},
    "pre_norm": {"pre_norm": True},  # no bias to fold into
    "stem": {"stem_widths": (8, 8), "patch_size": 4},
    "hybrid": {"backbone_layers": (1,), "patch_size": 1},
}


def picture() -> tuple[bytes, Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue(), Image.fromarray(pixels)


@pytest.mark.parametrize("front", FRONTS)
def test_a_network_of_grey_images_sees_a_pictures_luma(front: str) -> None:
    network = drawn(ViTConfig(**{**TINY, **FRONTS[front]}, in_chans=1)).double()
    data, image = picture()
    luma = torch.from_numpy(np.asarray(image.convert("L")).copy())[None, None]
    expected = network((luma.double() / 255 - 0.4) / 0.3)
    pixels = np.empty((32, 32, 3), np.uint8)
    preprocess(data, GREY, DecodeLimits(), pixels)
    fold_normalisation(network, GREY)
    found = network(torch.from_numpy(pixels).permute(2, 0, 1)[None].double() - PIXEL_OFFSET)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_so_does_one_of_another_library() -> None:
    network = LibraryNetwork(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 2)))
    pixels = torch.randint(0, 256, (2, 1, 32, 32))
    expected = network((pixels / 255 - 0.4) / 0.3)
    fold_normalisation(network, GREY)
    torch.testing.assert_close(network(pixels.float().expand(2, 3, 32, 32) - PIXEL_OFFSET), expected)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_a_checkpoint_takes_the_colours_average_where_it_does_not_say(tmp_path: Path, channels: int) -> None:
    saved(tmp_path / "package", ViTConfig(**TINY, in_chans=channels))
    export_package(tmp_path / "package", "timm", tmp_path / "bare.pth")
    read = read_checkpoint(tmp_path / "bare.pth")
    assert read.package.network.config.in_chans == read.package.preprocess.channels == channels
    assert read.package.preprocess.mean == pytest.approx((0.5,) * channels)
    assert any("the average of the colours" in remark for remark in read.remarks)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_what_no_picture_has_is_not_served(tmp_path: Path, channels: int) -> None:
    saved(tmp_path / "package", ViTConfig(**TINY, in_chans=channels))
    assert load_package(tmp_path / "package").network.config.in_chans == channels
    with pytest.raises(PackageError, match=f"images of {channels} channels, and pictures have one"):
        load_servable(str(tmp_path / "package"))
    with pytest.raises(PackageError, match="torchvision takes RGB alone"):
        export_package(tmp_path / "package", "torchvision", tmp_path / "m.pth")


def test_the_configurations_say_the_channels(tmp_path: Path) -> None:
    saved(tmp_path / "package", ViTConfig(**TINY, in_chans=1))
    document = json.loads((tmp_path / "package" / "config.json").read_text())
    assert document["pretrained_cfg"]["input_size"] == [1, 32, 32]
    assert document["model_args"]["in_chans"] == 1
    assert preprocess_from_timm(preprocess_to_timm(GREY)[0]) == GREY
    of_hf = {"image_processor_type": "ViTImageProcessor", "size": 32, "image_mean": [0.4], "image_std": [0.3]}
    assert preprocess_from_hf({**of_hf, "resample": 3}, "vit").mean == (0.4,)
    with pytest.raises(PackageError, match="1 mean values and 3 std values"):
        preprocess_from_hf({**of_hf, "image_std": [0.3] * 3}, "vit")
    with pytest.raises(ValueError, match="1 mean values for images of 3 channels"):
        with_channels(GREY, 3)
    with pytest.raises(ValueError, match="mean is empty"):
        preprocess_from_timm({"mean": []})
