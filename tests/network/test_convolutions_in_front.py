"""Owns the tests of networks with convolutions in front of the encoder, whichever they are."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from app.checkpoints.own import ModelPackage, load_package, save_package
from app.domain import PreprocessSpec
from app.network.fold import PIXEL_OFFSET, fold_normalisation
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig, variant
from tests.network.unsettle import unsettle

STEM, LITE = "vit_nano_conv8_32", "vit_nano_lite0_s32_128"
CONFIGS = {
    STEM: ViTConfig((16, 16), 4, 24, 2, 2, num_classes=3, stem_widths=(8, 12)),
    LITE: replace(variant(LITE), img_size=(64, 96), embed_dim=32, num_heads=2, num_classes=3),
}
each_network = pytest.mark.parametrize("name", CONFIGS)


def drawn(name: str) -> VisionTransformer:
    """A network in which every parameter and every statistic matters."""
    torch.manual_seed(0)
    network = VisionTransformer(CONFIGS[name])
    network.init_weights()
    unsettle(network)
    return network.eval()


@each_network
@pytest.mark.parametrize("mean", [(128 / 255,) * 3, (0.48, 0.46, 0.41)], ids=["grey", "other"])
def test_pixels_give_the_logits_of_normalised_input(name: str, mean: tuple[float, float, float]):
    height, width = CONFIGS[name].img_size
    spec = PreprocessSpec(height, width, mean=mean, std=(0.25, 0.23, 0.26))
    network = drawn(name).double()
    folded = copy.deepcopy(network)
    fold_normalisation(folded, spec)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert (folded.patch_embed.input_shift is None) == (mean == (128 / 255,) * 3)
    pixels = torch.randint(0, 256, (3, 3, height, width)).double()
    means, stds = (torch.tensor(values).double().view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    with torch.inference_mode():
        expected = network((pixels / 255 - means) / stds)
        assert expected.std() > 0.01
        torch.testing.assert_close(folded(pixels - PIXEL_OFFSET), expected, atol=1e-6, rtol=0)


@each_network
def test_a_package_keeps_them(name: str, tmp_path: Path):
    network, size = drawn(name), CONFIGS[name].img_size
    spec = PreprocessSpec(*size)
    save_package(
        tmp_path,
        ModelPackage(
            name=f"{name}.test",
            architecture=name,
            network=network,
            labels=("a", "b", "c"),
            preprocess=spec,
            sha256=None,
        ),
    )
    loaded = load_package(tmp_path)
    assert loaded.network.config == CONFIGS[name]
    pixels = torch.randn(2, 3, *size)
    torch.testing.assert_close(loaded.network(pixels), network(pixels), atol=1e-6, rtol=0)


@each_network
def test_a_new_network_is_its_convolutions_and_the_maximum_over_the_patches(name: str):
    torch.manual_seed(0)
    network = VisionTransformer(CONFIGS[name])
    network.init_weights()
    nn.init.normal_(network.head.weight)
    network.eval()
    x = torch.randn(2, 3, *CONFIGS[name].img_size)
    with torch.inference_mode():
        patches = network.patch_embed(x)
        token = patches.amax(dim=1) + network.cls_token[0] + network.pos_embed[:, 0]  # type: ignore[index]
        torch.testing.assert_close(network(x), network.head(network.norm(token)))
