"""Owns the tests of network/stem.py."""

import pytest
import torch

from app.network.stem import ConvStem, StemLayer
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig


def test_each_stage_halves_both_sides():
    stem = ConvStem(3, (8, 12, 16))
    assert stem(torch.zeros(2, 3, 32, 48)).shape == (2, 16, 4, 6)
    assert [layer.conv.out_channels for layer in stem if isinstance(layer, StemLayer)] == [32, 8, 8, 12, 12, 16, 16]


def test_the_grid_is_that_of_the_stem():
    network = VisionTransformer(ViTConfig((16, 16), 4, 24, 2, 2, num_classes=3, stem_widths=(8, 12))).eval()
    assert network.state_dict()["pos_embed"].shape == (1, 4 * 4 + 1, 24)
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 3)


def test_widths_that_do_not_make_the_patch_size_are_refused():
    with pytest.raises(ValueError, match=r"patches of 4 px.*patch_size is 8"):
        ViTConfig((16, 16), 8, 24, 2, 2, stem_widths=(8, 12))


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
