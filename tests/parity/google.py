"""Owns the writing of Google's `.npz` out of timm's tensors, by hand, as a second opinion; reads nothing."""

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
    arrays = {position: w["pos_embed"], "embedding/bias": w["patch_embed.proj.bias"]}
    arrays |= {"cls": w["cls_token"]} if "cls_token" in w else _pool(w, heads)
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
    named: dict[str, Any] = {f"{prefix}{name}": np.ascontiguousarray(array) for name, array in arrays.items()}
    np.savez(path, **named)


def _block(w: dict[str, Any], i: int, heads: int, linen: bool) -> dict[str, Any]:
    attention, norm2, mlp = ("0", "1", "0") if linen else ("1", "2", "3")
    block, inside = f"blocks.{i}.", f"MultiHeadDotProductAttention_{attention}/"
    width = w[f"{block}norm1.weight"].shape[0]
    out: dict[str, Any] = {}
    for j, name in enumerate(("query", "key", "value")):
        rows = slice(j * width, (j + 1) * width)
        out |= _projection(
            f"{inside}{name}", w[f"{block}attn.qkv.weight"][rows], w[f"{block}attn.qkv.bias"][rows], heads
        )
    out[f"{inside}out/kernel"] = w[f"{block}attn.proj.weight"].T.reshape(heads, width // heads, width)
    out[f"{inside}out/bias"] = w[f"{block}attn.proj.bias"]
    for theirs, ours in (("LayerNorm_0", "norm1"), (f"LayerNorm_{norm2}", "norm2")):
        out[f"{theirs}/scale"], out[f"{theirs}/bias"] = w[f"{block}{ours}.weight"], w[f"{block}{ours}.bias"]
    for k in "01":
        dense = f"{block}mlp.fc{int(k) + 1}"
        out[f"MlpBlock_{mlp}/Dense_{k}/kernel"] = w[f"{dense}.weight"].T
        out[f"MlpBlock_{mlp}/Dense_{k}/bias"] = w[f"{dense}.bias"]
    return out


def _projection(name: str, weight: Any, bias: Any, heads: int) -> dict[str, Any]:
    width = len(bias)
    shape = heads, width // heads
    return {f"{name}/kernel": weight.T.reshape(width, *shape), f"{name}/bias": bias.reshape(shape)}


def _pool(w: dict[str, Any], heads: int) -> dict[str, Any]:
    """SigLIP's, in the place of a class token."""
    inside, width = "MAPHead_0/MultiHeadDotProductAttention_0/", w["attn_pool.latent"].shape[-1]
    kv, biases = w["attn_pool.kv.weight"], w["attn_pool.kv.bias"]
    out = {"MAPHead_0/probe": w["attn_pool.latent"]}
    out |= _projection(f"{inside}query", w["attn_pool.q.weight"], w["attn_pool.q.bias"], heads)
    out |= _projection(f"{inside}key", kv[:width], biases[:width], heads)
    out |= _projection(f"{inside}value", kv[width:], biases[width:], heads)
    out[f"{inside}out/kernel"] = w["attn_pool.proj.weight"].T.reshape(heads, width // heads, width)
    out[f"{inside}out/bias"] = w["attn_pool.proj.bias"]
    out |= {"MAPHead_0/LayerNorm_0/scale": w["attn_pool.norm.weight"]}
    out |= {"MAPHead_0/LayerNorm_0/bias": w["attn_pool.norm.bias"]}
    for k in "01":
        dense = f"attn_pool.mlp.fc{int(k) + 1}"
        out[f"MAPHead_0/MlpBlock_0/Dense_{k}/kernel"] = w[f"{dense}.weight"].T
        out[f"MAPHead_0/MlpBlock_0/Dense_{k}/bias"] = w[f"{dense}.bias"]
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
