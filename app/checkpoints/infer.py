"""Owns what a checkpoint's shapes say of the network; does not read values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isqrt, nextafter
from typing import Any, Final

from app.errors import PackageError
from app.package.variants import ViTConfig

Shapes = Mapping[str, tuple[int, ...]]

# What the origin decides and no shape shows.
CONSTANTS: Final[dict[str, dict[str, Any]]] = {
    "timm": {},
    "torchvision": {},
    "hf": {"norm_eps": 1e-12},
    "npz": {
        "gelu": "tanh",
        "group_norm_eps": 1e-6,
        "standardization": "deviation",
        "standardization_eps": 1e-5,
    },
}


@dataclass(frozen=True, slots=True)
class Inferred:
    """A network's shape, and in words what had to be assumed."""

    config: ViTConfig
    assumptions: tuple[str, ...]


def infer_config(
    shapes: Shapes,
    constants: Mapping[str, Any],
    heads: int | None,
    img_size: tuple[int, int] | None,
    where_not_square: tuple[int, int] | None = None,
) -> Inferred:
    """The network with tensors of these shapes, under our names.

    `img_size` is what the position table is for; None: `where_not_square` if no square grid fits, else the square.

    Raises PackageError, saying which option helps, if the shapes are not those of a ViT.
    """
    assumptions = []
    try:
        width = shapes["cls_token"][-1]
        if heads is None:
            heads = _usual_heads(width)
            assumptions.append(f"{heads} heads (shapes do not tell; --heads N)")
        patch, layers = _patch(shapes), _backbone_layers(shapes)
        distilled = "dist_token" in shapes
        reduction = 1 if layers is None else 4 * 2 ** max(len(layers) - 1, 0)
        rows = shapes["pos_embed"][-2]
        if img_size is None and not _is_square(rows, 2 if distilled else 1):
            img_size = where_not_square
        if img_size is None:
            side, no_class = _square(rows, 2 if distilled else 1)
            img_size = (side * patch * reduction, side * patch * reduction)
            assumptions.append(f"images of {img_size[0]} x {img_size[1]} px (square, as the position table; --size)")
        else:
            down, across = (-(-size // reduction) // patch for size in img_size)
            no_class = rows == down * across
        conv = shapes.get("patch_embed.backbone.stem.conv.weight") or shapes.get("patch_embed.backbone.conv.weight")
        config = ViTConfig(
            img_size=img_size,
            patch_size=patch,
            embed_dim=width,
            depth=1 + max(int(found[1]) for name in shapes if (found := re.match(r"blocks\.(\d+)\.", name))),
            num_heads=heads,
            num_classes=shapes["head.weight"][0],
            in_chans=(conv or shapes["patch_embed.proj.weight"])[1],
            mlp_ratio=_ratio(shapes["blocks.0.mlp.fc1.weight"][0], width),
            qkv_bias="blocks.0.attn.qkv.bias" in shapes,
            representation_size=shapes.get("pre_logits.fc.weight", (None,))[0],
            **constants,
            **_beyond_plain(layers, distilled, no_class),
        )
    except KeyError as error:
        raise PackageError(f"there is no tensor for {error.args[0]!r}") from error
    except (ValueError, IndexError) as error:
        raise PackageError(str(error)) from error
    return Inferred(config, tuple(assumptions))


def _beyond_plain(layers: tuple[int, ...] | None, distilled: bool, no_class: bool) -> dict[str, Any]:
    return {"backbone_layers": layers, "distilled": distilled, "no_embed_class": no_class}


def _usual_heads(width: int) -> int:
    """Published ViTs have heads of 64 channels; H/14, g/14 and G/14 have 16 heads."""
    if width in (1280, 1408, 1664):
        return 16
    if width % 64:
        raise ValueError(f"how many heads share a width of {width} is not to be seen in the file; say --heads N")
    return width // 64


def _patch(shapes: Shapes) -> int:
    kernel = shapes["patch_embed.proj.weight"]
    if len(kernel) != 4 or kernel[2] != kernel[3]:
        raise ValueError(f"the patch projection has shape {kernel}; only square patches are served")
    return kernel[2]


def _backbone_layers(shapes: Shapes) -> tuple[int, ...] | None:
    """Units in each stage of a hybrid's ResNet; () for the root alone, None for a plain ViT."""
    units: dict[int, int] = {}
    for name in shapes:
        if found := re.match(r"patch_embed\.backbone\.stages\.(\d+)\.blocks\.(\d+)\.", name):
            stage, unit = int(found[1]), int(found[2])
            units[stage] = max(units.get(stage, 0), unit + 1)
    if units:
        if sorted(units) != list(range(len(units))):
            raise ValueError(f"the ResNet's stages are {sorted(units)}, not counted from the first")
        return tuple(units[stage] for stage in range(len(units)))
    return () if "patch_embed.backbone.conv.weight" in shapes else None


def _ratio(hidden: int, width: int) -> float:
    """What times `width`, rounded down, is `hidden`."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else nextafter(ratio, inf)


def _is_square(rows: int, prefix: int) -> bool:
    return any(isqrt(max(n, 0)) ** 2 == n > 0 for n in (rows - prefix, rows))


def _square(rows: int, prefix: int) -> tuple[int, bool]:
    """The side of the grid, and whether the table has no rows for the prefix tokens."""
    for without, patches in ((False, rows - prefix), (True, rows)):
        if patches > 0 and isqrt(patches) ** 2 == patches:
            return isqrt(patches), without
    raise ValueError(f"a position table of {rows} rows is of no square grid; say its image size, --size HEIGHTxWIDTH")
