"""Owns the tests of model/stem.py."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from app.domain import PreprocessSpec
from app.model.fold import PIXEL_OFFSET, fold_normalisation
from app.model.package import ModelPackage, load_package, save_package
from app.model.stem import ConvStem, StemLayer
from app.model.variants import ViTConfig
from app.model.vit import VisionTransformer

CONFIG = ViTConfig((16, 16), 4, 24, 2, 2, num_classes=3, stem_widths=(8, 12))


def drawn(config: ViTConfig = CONFIG) -> VisionTransformer:
    """A network in which every parameter and every statistic matters."""
    torch.manual_seed(0)
    network = VisionTransformer(config)
    network.init_weights()
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        else:
            tensor.add_(torch.randn_like(tensor) * 0.1)
    return network.double().eval()


def test_each_stage_halves_both_sides():
    stem = ConvStem(3, (8, 12, 16))
    assert stem(torch.zeros(2, 3, 32, 48)).shape == (2, 16, 4, 6)
    assert [layer.conv.out_channels for layer in stem if isinstance(layer, StemLayer)] == [32, 8, 8, 12, 12, 16, 16]


def test_the_grid_is_that_of_the_stem():
    network = drawn()
    assert network.state_dict()["pos_embed"].shape == (1, 4 * 4 + 1, 24)
    assert network(torch.zeros(2, 3, 16, 16).double()).shape == (2, 3)


def test_widths_that_do_not_make_the_patch_size_are_refused():
    with pytest.raises(ValueError, match=r"patches of 4 px.*patch_size is 8"):
        ViTConfig((16, 16), 8, 24, 2, 2, stem_widths=(8, 12))


@pytest.mark.parametrize("mean", [(128 / 255,) * 3, (0.48, 0.46, 0.41)], ids=["grey", "other"])
def test_pixels_give_the_logits_of_normalised_input(mean: tuple[float, float, float]):
    spec = PreprocessSpec(16, 16, mean=mean, std=(0.25, 0.23, 0.26))
    network = drawn()
    folded = copy.deepcopy(network)
    fold_normalisation(folded, spec)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert (folded.patch_embed.input_shift is None) == (mean == (128 / 255,) * 3)
    pixels = torch.randint(0, 256, (3, 3, 16, 16)).double()
    means, stds = (torch.tensor(values).double().view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    with torch.inference_mode():
        expected = network((pixels / 255 - means) / stds)
        torch.testing.assert_close(folded(pixels - PIXEL_OFFSET), expected, atol=1e-6, rtol=0)


def test_a_package_keeps_the_stem(tmp_path: Path):
    network = drawn().float()
    spec = PreprocessSpec(16, 16)
    saved = ModelPackage("vit_nano_conv8_32.test", "vit_nano_conv8_32", network, ("a", "b", "c"), spec, sha256=None)
    save_package(tmp_path, saved)
    loaded = load_package(tmp_path)
    assert loaded.network.config == CONFIG
    pixels = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(loaded.network(pixels), network(pixels), atol=1e-6, rtol=0)


def test_a_new_network_is_its_stem_and_the_maximum_over_the_patches():
    torch.manual_seed(0)
    network = VisionTransformer(CONFIG)
    network.init_weights()
    nn.init.normal_(network.head.weight)
    network.eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        patches = network.patch_embed(x)
        token = patches.amax(dim=1) + network.cls_token[0] + network.pos_embed[:, 0]  # type: ignore[index]
        torch.testing.assert_close(network(x), network.head(network.norm(token)))


def test_a_new_stem_passes_its_channels_on():
    torch.manual_seed(0)
    stem = ConvStem(3, (32, 40))
    stem.init_weights()
    x = torch.randn(1, 32, 8, 8)
    layer = stem[2]
    assert isinstance(layer, StemLayer)
    torch.testing.assert_close(layer.conv(x), x)
    wider = stem[3]
    assert isinstance(wider, StemLayer)
    torch.testing.assert_close(wider.conv(x)[:, :32], x)
    assert wider.conv(x)[:, 32:].abs().sum() > 0
