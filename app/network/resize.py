"""Owns position tables and patch kernels at other sizes than they were trained at; does not know files."""

from dataclasses import replace
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from app.package.variants import ViTConfig

ResizeMode = Literal["timm", "timm_npz", "huggingface", "torchvision", "google"]

# How each library interpolates; `google` is scipy's `zoom` of order 1. timm's way is the default.
_INTERPOLATION: Final[dict[ResizeMode, dict[str, Any]]] = {
    "timm": {"mode": "bicubic", "antialias": True, "align_corners": False},
    "timm_npz": {"mode": "bilinear", "antialias": False, "align_corners": False},
    "huggingface": {"mode": "bicubic", "antialias": False, "align_corners": False},
    "torchvision": {"mode": "bicubic", "antialias": False, "align_corners": True},
    "google": {"mode": "bilinear", "antialias": False, "align_corners": True},
}


def resize_position_table(
    tables: Tensor, old: tuple[int, int], new: tuple[int, int], mode: ResizeMode = "timm"
) -> Tensor:
    """(T, prefix + old patches, D) → (T, prefix + new patches, D), for grids (height, width) in row-major order.

    What precedes the patches is prefix rows, which have no place in the picture and stay as they are. Computed in
    float32 at least. Raises ValueError if the table is smaller than its grid.
    """
    if old == new:  # the same number of patches would not do: 7 x 28 is not 14 x 14
        return tables
    patches = old[0] * old[1]
    if tables.shape[1] < patches:
        raise ValueError(f"a table of {tables.shape[1]} rows is none for a grid of {old[0]} x {old[1]}")
    prefix, grid = tables.split([tables.shape[1] - patches, patches], dim=1)
    grid = grid.to(torch.promote_types(grid.dtype, torch.float32)).reshape(-1, *old, tables.shape[2])
    resized = F.interpolate(grid.permute(0, 3, 1, 2), size=new, **_INTERPOLATION[mode])
    return torch.cat([prefix, resized.permute(0, 2, 3, 1).flatten(1, 2).to(tables.dtype)], dim=1)


def resize_patch_kernel(kernel: Tensor, size: int, mode: ResizeMode = "timm") -> Tensor:
    """(D, C, P, P) → (D, C, size, size), by the pseudo-inverse of the image resize (FlexiViT, arXiv 2212.08013).

    A patch resized from P to `size` pixels gives, with the new kernel, what it gave before, as nearly as can be.
    Computed in float32 at least; in float32 it is timm's `resample_patch_embed` bit for bit.
    """
    old = kernel.shape[-1]
    if old == size:
        return kernel
    dtype = torch.promote_types(kernel.dtype, torch.float32)
    pixels = torch.eye(old * old, dtype=dtype, device=kernel.device).reshape(-1, 1, old, old)
    matrix = F.interpolate(pixels, size=(size, size), **_INTERPOLATION[mode]).flatten(1).T  # (size², old²)
    resized: Tensor = kernel.flatten(2).to(dtype) @ torch.linalg.pinv(matrix)
    return resized.reshape(*kernel.shape[:2], size, size).to(kernel.dtype)


def resize_state(
    state: dict[str, Tensor], config: ViTConfig, img_size: tuple[int, int], mode: ResizeMode = "timm"
) -> tuple[dict[str, Tensor], ViTConfig]:
    """A network's tensors and shape for images of another size, of as many tokens as that takes.

    Raises ValueError for relative positions, whose offsets mean other distances in another grid.
    """
    new = replace(config, img_size=img_size)
    if new.grid_size == config.grid_size or config.position == "none":
        return state, new
    if config.position == "relative":
        raise ValueError(f"relative positions of {config.img_size} px cannot be resized to {img_size} px")
    old, grid = config.grid_size, new.grid_size
    if config.position.startswith("2d"):
        places = {"pos_embed.rows": ((old[0], 1), (grid[0], 1)), "pos_embed.columns": ((old[1], 1), (grid[1], 1))}
    else:
        places = {"pos_embed": (old, grid)}
    tables = {name: resize_position_table(state[name], *sizes, mode=mode) for name, sizes in places.items()}
    return {**state, **tables}, new


def resize_patches(
    state: dict[str, Tensor], config: ViTConfig, patch_size: int, mode: ResizeMode = "timm"
) -> tuple[dict[str, Tensor], ViTConfig]:
    """The same for patches of another size, cut out of an image that is larger in the same ratio: as many tokens.

    Raises ValueError for a hybrid, whose patches are of a feature map.
    """
    if config.backbone_layers is not None:
        raise ValueError("a hybrid's patches are cut out of a feature map; they have no size in pixels to change")
    height, width = (patches * patch_size for patches in config.grid_size)
    name = "patch_embed.proj.weight"
    kernel = resize_patch_kernel(state[name], patch_size, mode)
    return {**state, name: kernel}, replace(config, img_size=(height, width), patch_size=patch_size)
