"""Owns the tests of network/efficientnet.py, against the package whose checkpoints it takes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from app.checkpoints.efficientnet import read_backbone
from app.checkpoints.read import open_tensors
from app.errors import PackageError
from app.network.efficientnet import EfficientNetLite
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig, variant
from tests.network.unsettle import unsettle

NAME = "vit_nano_lite0_s32_128"
CONFIG = replace(variant(NAME), img_size=(64, 96), embed_dim=32, num_heads=2, num_classes=3)


@pytest.fixture
def theirs() -> nn.Module:
    torch.manual_seed(1)
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    unsettle(network)
    return network.eval()


def features(network: nn.Module, x: Tensor) -> Tensor:
    """What their blocks give, before their last convolution; by the layers that their `extract_features` calls."""
    layers = dict(network.named_children())
    x = F.relu6(layers["_bn0"](layers["_conv_stem"](x)))
    for block in layers["_blocks"].children():
        x = block(x)
    return x


def test_a_checkpoint_gives_the_features_of_the_network_it_is_of(theirs: nn.Module, tmp_path: Path):
    torch.save(theirs.state_dict(), tmp_path / "lite0.pth")
    with torch.device("meta"):
        expected = VisionTransformer(variant(NAME)).state_dict()
    weights = read_backbone(open_tensors(tmp_path / "lite0.pth"), expected)
    ours = EfficientNetLite(3, 7).eval()
    ours.load_state_dict({name.removeprefix("patch_embed.backbone."): value for name, value in weights.items()})
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        found = ours(x)
        assert found.shape == (2, 320, 7, 7) and found.std() > 0.1
        torch.testing.assert_close(found, features(theirs, x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("_blocks.3._bn1.running_mean"), "no tensor for 'patch_embed.backbone.blocks.3.filter"),
        (lambda state: state.update({"_bn0.bias": torch.zeros(31)}), r"stem\.norm\.bias' has shape \(31,\)"),
        (lambda state: state["_bn0.bias"].fill_(torch.nan), r"stem\.norm\.bias' holds values that are no finite"),
    ],
    ids=["missing", "shape", "nan"],
)
def test_what_does_not_fit_is_named(theirs: nn.Module, tmp_path: Path, change, message: str):
    state = theirs.state_dict()
    change(state)
    torch.save(state, tmp_path / "lite0.pth")
    with pytest.raises(PackageError, match=message):
        read_backbone(open_tensors(tmp_path / "lite0.pth"), VisionTransformer(variant(NAME)).state_dict())


@pytest.mark.parametrize(("stages", "grid"), [(1, (32, 48)), (2, (16, 24)), (4, (4, 6)), (5, (4, 6)), (7, (2, 3))])
def test_the_grid_is_that_of_its_last_stage(stages: int, grid: tuple[int, int]):
    config = replace(CONFIG, lite_stages=stages)
    assert config.grid_size == grid
    with torch.device("meta"):
        network = VisionTransformer(config).eval()
        assert network.patch_embed(torch.empty(1, 3, 64, 96)).shape == (1, grid[0] * grid[1], 32)


def test_odd_sides_are_rounded_up():
    config = replace(CONFIG, img_size=(65, 33))
    assert config.grid_size == (3, 2)
    with torch.device("meta"):
        assert VisionTransformer(config).eval()(torch.empty(1, 3, 65, 33)).shape == (1, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lite_stages": 8}, "not from 0 to 7"),
        ({"lite_stages": -1}, "not from 0 to 7"),
        ({"lite_stages": 2, "backbone_layers": (1,)}, "neither with stem_widths nor with backbone_layers"),
        ({"lite_stages": 2, "stem_widths": (8,), "patch_size": 2}, "neither with stem_widths nor with backbone_layers"),
    ],
    ids=str,
)
def test_what_makes_no_network_is_refused(changes, message: str):
    with pytest.raises(ValueError, match=message):
        ViTConfig(**{"img_size": (64, 64), "patch_size": 1, **changes})
