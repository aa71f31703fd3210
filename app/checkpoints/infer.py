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
# What all networks of other formats than timm's have, unless their layout says otherwise: what lacks it is broken.
WHOLE: Final = {"class_token": True, "final_norm": True, "proj_bias": True}
# What no tensor shows, so that only a configuration or the architecture's name tells.
UNSEEN: Final = ("gelu", "norm_eps", "global_pool", "pool_include_prefix")


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
        width = shapes["patch_embed.proj.weight"][0]
        if heads is None:
            heads = _usual_heads(width)
            assumptions.append(f"{heads} heads (shapes do not tell; --heads N)")
        patch, layers = _patch(shapes), _backbone_layers(shapes)
        reduction = 1 if layers is None else 4 * 2 ** max(len(layers) - 1, 0)
        relative = _relative(shapes, constants)
        prefix = relative["class_token"] + relative["distilled"] + relative["reg_tokens"]
        img_size, no_class, assumed = _grid(shapes, (patch, reduction), prefix, img_size, where_not_square)
        assumptions += assumed
        if relative["pre_norm"] and not constants.keys() & {"gelu", "norm_eps"}:
            relative["norm_eps"] = 1e-5
            assumptions.append("norm_eps 1e-5 and the exact GELU, as most CLIP networks have (--variant NAME)")
        conv = shapes.get("patch_embed.backbone.stem.conv.weight") or shapes.get("patch_embed.backbone.conv.weight")
        config = ViTConfig(
            img_size=img_size,
            patch_size=patch,
            embed_dim=width,
            depth=1 + max(int(found[1]) for name in shapes if (found := re.match(r"blocks\.(\d+)\.", name))),
            num_heads=heads,
            num_classes=shapes["head.weight"][0],
            in_chans=(conv or shapes["patch_embed.proj.weight"])[1],
            mlp_ratio=_ratio((shapes.get("blocks.0.mlp.fc1_g.weight") or shapes["blocks.0.mlp.fc1.weight"])[0], width),
            qkv_bias="blocks.0.attn.qkv.bias" in shapes,
            representation_size=shapes.get("pre_logits.fc.weight", (None,))[0],
            backbone_layers=layers,
            no_embed_class=no_class,
            position="1d" if "pos_embed" in shapes else "none",
            **{**constants, **relative},
        )
    except KeyError as error:
        raise PackageError(f"there is no tensor for {error.args[0]!r}") from error
    except (ValueError, IndexError) as error:
        raise PackageError(str(error)) from error
    return Inferred(config, tuple(assumptions))


def _grid(
    shapes: Shapes,
    patch_and_reduction: tuple[int, int],
    prefix: int,
    img_size: tuple[int, int] | None,
    where_not_square: tuple[int, int] | None,
) -> tuple[tuple[int, int], bool, list[str]]:
    """The image's size in pixels, whether the position table lacks the prefix tokens' rows, and what is assumed."""
    patch, reduction = patch_and_reduction
    rows = shapes["pos_embed"][-2] if "pos_embed" in shapes else None
    if img_size is None and (rows is None or not _is_square(rows, prefix)):
        img_size = where_not_square
    if img_size is None and rows is None:
        img_size = ViTConfig().img_size
        return img_size, False, [f"images of {img_size[0]} x {img_size[1]} px (no position table tells; --size)"]
    if img_size is None:
        assert rows is not None
        side, no_class = _square(rows, prefix)
        size = side * patch * reduction
        return (size, size), no_class, [f"images of {size} x {size} px (square, as the position table; --size)"]
    down, across = (-(-size // reduction) // patch for size in img_size)
    return img_size, prefix > 0 and rows == down * across, []


def _relative(shapes: Shapes, constants: Mapping[str, Any]) -> dict[str, Any]:
    """What the tensors say of parts that only some have; what the head reads they tell where nothing is stated."""
    scaled, packed = "blocks.0.ls1.gamma" in shapes, _is_packed(shapes)
    gated = "blocks.0.mlp.fc1_g.weight" in shapes
    has_class, has_fc_norm = constants.get("class_token", "cls_token" in shapes), "fc_norm.weight" in shapes
    pool = "map" if "attn_pool.latent" in shapes else "avg" if has_fc_norm or not has_class else "token"
    pool = constants.get("global_pool", pool)
    final_norm = constants.get("final_norm", has_fc_norm or any(name.startswith("norm.") for name in shapes))
    return {
        "class_token": has_class,
        "distilled": "dist_token" in shapes,
        "reg_tokens": shapes.get("reg_token", (1, 0))[1],
        "pre_norm": "norm_pre.weight" in shapes,
        "final_norm": final_norm,
        "global_pool": pool,
        "fc_norm": has_fc_norm if final_norm and has_fc_norm != (pool == "avg") else None,
        "qk_norm": "blocks.0.attn.q_norm.weight" in shapes,
        "proj_bias": constants.get("proj_bias", "blocks.0.attn.proj.bias" in shapes),
        "init_values": constants.get("init_values", 1e-5) if scaled else None,
        "mlp_layer": "swiglu" if gated else "swiglu_packed" if packed else "mlp",
    }


def _is_packed(shapes: Shapes) -> bool:
    """Whether a projection of an encoder layer gives twice as many channels as the next takes."""
    first, second = (shapes.get(f"blocks.0.mlp.{name}.weight") for name in ("fc1", "fc2"))
    return first is not None and second is not None and len(second) == 2 and first[0] == 2 * second[1]


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
