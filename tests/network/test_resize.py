"""Owns the tests of network/resize.py."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from app.network.resize import ResizeMode, resize_patch_kernel, resize_patches, resize_position_table, resize_state
from app.network.vit import VisionTransformer
from app.package.variants import Position, ViTConfig

SMALL = ViTConfig((16, 16), 4, 24, 2, 2, num_classes=5)
# What the reference says of each library, once more.
DIRECT: dict[ResizeMode, dict[str, Any]] = {
    "timm": {"mode": "bicubic", "antialias": True},
    "timm_npz": {"mode": "bilinear"},
    "huggingface": {"mode": "bicubic"},
    "torchvision": {"mode": "bicubic", "align_corners": True},
    "google": {"mode": "bilinear", "align_corners": True},
}
SIZES = [((4, 4), (7, 7)), ((7, 7), (4, 4)), ((4, 4), (3, 8)), ((2, 8), (4, 4)), ((7, 28), (14, 14))]


@pytest.mark.parametrize("mode", get_args(ResizeMode))
@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_each_mode_is_its_librarys(mode: ResizeMode, old: tuple[int, int], new: tuple[int, int], prefix: int):
    table = torch.randn(1, prefix + old[0] * old[1], 6)
    found = resize_position_table(table, old, new, mode)
    assert found.shape == (1, prefix + new[0] * new[1], 6)
    assert torch.equal(found[:, :prefix], table[:, :prefix])
    for channel in range(6):
        grid = table[0, prefix:, channel].reshape(1, 1, *old)
        expected = F.interpolate(grid, size=new, **DIRECT[mode])[0, 0]
        torch.testing.assert_close(found[0, prefix:, channel].reshape(new), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_googles_is_scipys_zoom(old: tuple[int, int], new: tuple[int, int]):
    ndimage = pytest.importorskip("scipy.ndimage")
    grid = np.random.default_rng(0).normal(size=(*old, 3))
    table = torch.from_numpy(grid.reshape(1, -1, 3))
    # `nearest`: by default scipy answers 0 where its own rounding leaves the grid by a hair, as from 28 to 14.
    expected = ndimage.zoom(grid, (new[0] / old[0], new[1] / old[1], 1), order=1, mode="nearest")
    found = resize_position_table(table, old, new, "google")
    np.testing.assert_allclose(found.reshape(*new, 3).numpy(), expected, atol=1e-10)


def test_a_table_of_the_same_grid_is_left_alone():
    table = torch.randn(1, 17, 6)
    assert resize_position_table(table, (4, 4), (4, 4)) is table
    assert not torch.equal(resize_position_table(table, (4, 4), (2, 8)), table)  # as many patches, another grid


def test_a_table_without_enough_rows_is_refused():
    with pytest.raises(ValueError, match="15 rows"):
        resize_position_table(torch.zeros(1, 15, 6), (4, 4), (2, 2))


def test_half_precision_comes_back_as_it_went_in():
    table = torch.randn(1, 17, 6)
    found = resize_position_table(table.bfloat16(), (4, 4), (5, 5))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), resize_position_table(table, (4, 4), (5, 5)), atol=0.05, rtol=0)


@pytest.mark.parametrize("mode", get_args(ResizeMode))
def test_an_enlarged_patch_and_kernel_give_what_they_gave(mode: ResizeMode):
    torch.manual_seed(0)
    kernel, patch = torch.randn(5, 3, 4, 4, dtype=torch.float64), torch.randn(1, 3, 4, 4, dtype=torch.float64)
    larger = F.interpolate(patch, size=(9, 9), **DIRECT[mode])
    found = resize_patch_kernel(kernel, 9, mode)
    assert found.shape == (5, 3, 9, 9)
    torch.testing.assert_close(F.conv2d(larger, found), F.conv2d(patch, kernel), atol=1e-9, rtol=0)


def test_a_smaller_kernel_is_the_nearest_on_average():
    """Least squares: no other kernel of that size answers closer over patches of independent pixels."""
    torch.manual_seed(0)
    kernel, patches = torch.randn(1, 1, 6, 6, dtype=torch.float64), torch.eye(36, dtype=torch.float64)
    smaller = F.interpolate(patches.reshape(36, 1, 6, 6), size=(3, 3), **DIRECT["timm"])

    def miss(candidate: torch.Tensor) -> float:
        return (F.conv2d(smaller, candidate) - kernel.flatten().reshape(36, 1, 1, 1)).square().sum().item()

    found = resize_patch_kernel(kernel, 3)
    assert all(miss(found) < miss(found + 0.01 * torch.randn_like(found)) for _ in range(20))


@pytest.mark.parametrize("position", [p for p in get_args(Position) if p != "relative"])
@pytest.mark.parametrize("distilled", [False, True])
def test_a_network_at_another_size(position: Position, distilled: bool):
    config = replace(SMALL, position=position, distilled=distilled)
    network = VisionTransformer(config)
    network.init_weights()
    state, larger = resize_state(network.state_dict(), config, (24, 32))
    resized = VisionTransformer(larger).eval()
    resized.load_state_dict(state)
    assert larger == replace(config, img_size=(24, 32))
    assert resized(torch.randn(2, 3, 24, 32)).shape == (2, 5)


def test_two_axes_resized_are_their_folded_table_resized():
    config = replace(SMALL, position="2d")
    network = VisionTransformer(config)
    network.init_weights()
    folded = network.position_tables()
    assert folded is not None
    state, larger = resize_state(network.state_dict(), config, (24, 32))
    resized = VisionTransformer(larger)
    resized.load_state_dict(state)
    expected = resize_position_table(folded.detach(), (4, 4), (6, 8))
    torch.testing.assert_close(resized.position_tables(), expected, atol=1e-6, rtol=0)


def test_relative_positions_are_refused():
    config = replace(SMALL, position="relative")
    with pytest.raises(ValueError, match="relative"):
        resize_state({}, config, (32, 32))


def test_larger_patches_of_a_larger_image():
    torch.manual_seed(0)
    network = VisionTransformer(SMALL)
    network.init_weights()
    state, larger = resize_patches(network.state_dict(), SMALL, 8, "timm_npz")
    resized = VisionTransformer(larger).eval()
    resized.load_state_dict(state)
    assert (larger.img_size, larger.patch_size, larger.grid_size) == ((32, 32), 8, (4, 4))
    patches = torch.randn(16, 3, 4, 4)
    enlarged = F.interpolate(patches, size=(8, 8), mode="bilinear")
    ours, theirs = network.patch_embed.proj(patches), resized.patch_embed.proj(enlarged)
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="hybrid"):
        resize_patches({}, replace(SMALL, backbone_layers=(), patch_size=1), 8)
