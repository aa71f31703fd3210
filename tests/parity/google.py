"""Owns the writing of Google's `.npz` out of timm's tensors, by hand: a second opinion on the key map; reads nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


def write_npz(
    path: Path,
    state: Mapping[str, Tensor],
    heads: int,
    linen: bool = False,
    prefix: str = "",
    position: str = "Transformer/posembed_input/pos_embedding",
    **form: bool,
) -> None:
    """Saves `state` under JAX's names. `form`: stacked (one array for all layers), flat_norms (GroupNorm as (C))."""
    w = {name: tensor.numpy() for name, tensor in state.items()}
    arrays = {"cls": w["cls_token"], position: w["pos_embed"], "embedding/bias": w["patch_embed.proj.bias"]}
    arrays["embedding/kernel"] = w["patch_embed.proj.weight"].transpose(2, 3, 1, 0)
    arrays |= {"Transformer/encoder_norm/scale": w["norm.weight"], "Transformer/encoder_norm/bias": w["norm.bias"]}
    arrays |= {"head/kernel": w["head.weight"].T, "head/bias": w["head.bias"]}
    arrays |= _backbone(w, form.get("flat_norms", False))
    depth = sum(name.startswith("blocks.") and name.endswith(".norm1.weight") for name in w)
    layers = [_block(w, i, heads, linen) for i in range(depth)]
    if form.get("stacked"):
        arrays |= {f"Transformer/encoderblock/{k}": np.stack([layer[k] for layer in layers]) for k in layers[0]}
    else:
        arrays |= {f"Transformer/encoderblock_{i}/{k}": v for i, layer in enumerate(layers) for k, v in layer.items()}
    np.savez(path, **{f"{prefix}{name}": np.ascontiguousarray(array) for name, array in arrays.items()})


def _block(w: dict[str, Any], i: int, heads: int, linen: bool) -> dict[str, Any]:
    attention, norm2, mlp = ("0", "1", "0") if linen else ("1", "2", "3")
    block, inside = f"blocks.{i}.", f"MultiHeadDotProductAttention_{attention}/"
    width = w[f"{block}norm1.weight"].shape[0]
    out = {}
    for j, name in enumerate(("query", "key", "value")):
        rows = slice(j * width, (j + 1) * width)
        out[f"{inside}{name}/kernel"] = w[f"{block}attn.qkv.weight"][rows].T.reshape(width, heads, width // heads)
        out[f"{inside}{name}/bias"] = w[f"{block}attn.qkv.bias"][rows].reshape(heads, width // heads)
    out[f"{inside}out/kernel"] = w[f"{block}attn.proj.weight"].T.reshape(heads, width // heads, width)
    out[f"{inside}out/bias"] = w[f"{block}attn.proj.bias"]
    for theirs, ours in (("LayerNorm_0", "norm1"), (f"LayerNorm_{norm2}", "norm2")):
        out[f"{theirs}/scale"], out[f"{theirs}/bias"] = w[f"{block}{ours}.weight"], w[f"{block}{ours}.bias"]
    for k in "01":
        dense = f"{block}mlp.fc{int(k) + 1}"
        out[f"MlpBlock_{mlp}/Dense_{k}/kernel"] = w[f"{dense}.weight"].T
        out[f"MlpBlock_{mlp}/Dense_{k}/bias"] = w[f"{dense}.bias"]
    return out


def _backbone(w: dict[str, Any], flat: bool) -> dict[str, Any]:
    arrays = {}
    for name, value in w.items():
        if not name.startswith("patch_embed.backbone."):
            continue
        parts = name.removeprefix("patch_embed.backbone.").removeprefix("stem.").split(".")
        place = ""
        if parts[0] == "stages":
            place, parts = f"block{int(parts[1]) + 1}/unit{int(parts[3]) + 1}/", parts[4:]
        number = "_proj" if parts[0] == "downsample" else parts[0][4:] or "_root"
        if parts[-2].startswith("conv"):
            arrays[f"{place}conv{number}/kernel"] = value.transpose(2, 3, 1, 0)
        else:
            leaf = {"weight": "scale", "bias": "bias"}[parts[-1]]
            arrays[f"{place}gn{number}/{leaf}"] = value if flat else value.reshape(1, 1, 1, -1)
    return arrays
