"""Owns torchvision's spelling of `vit_*` (torchvision/models/vision_transformer.py); does not read files."""

from typing import Final

from app.checkpoints.rules import SAME, Layout, Rule

_BLOCK: Final = "encoder.layers.encoder_layer_{i}."
_PAIRS: Final = {
    "cls_token": "class_token",
    "pos_embed": "encoder.pos_embedding",
    "patch_embed.proj.weight": "conv_proj.weight",
    "patch_embed.proj.bias": "conv_proj.bias",
    "blocks.{i}.attn.qkv.weight": f"{_BLOCK}self_attention.in_proj_weight",
    "blocks.{i}.attn.qkv.bias": f"{_BLOCK}self_attention.in_proj_bias",
}
_MODULES: Final = {
    "blocks.{i}.norm1": f"{_BLOCK}ln_1",
    "blocks.{i}.attn.proj": f"{_BLOCK}self_attention.out_proj",
    "blocks.{i}.norm2": f"{_BLOCK}ln_2",
    "norm": "encoder.ln",
    "pre_logits.fc": "heads.pre_logits",
    "head": "heads.head",
}
# What tutorials put in the head's place: a linear layer, bare or in a Sequential, after a dropout or two. All of
# `heads` reads the class token, so nothing else is open. These come last, for what is written is torchvision's.
_REPLACED: Final = ("heads", *(f"heads.{n}" for n in range(4)), *(f"heads.head.{n}" for n in range(4)))


def _layout(name: str, fc1: str, fc2: str) -> Layout:
    modules = {**_MODULES, "blocks.{i}.mlp.fc1": f"{_BLOCK}mlp.{fc1}", "blocks.{i}.mlp.fc2": f"{_BLOCK}mlp.{fc2}"}
    leaves = {f"{ours}.{leaf}": f"{theirs}.{leaf}" for ours, theirs in modules.items() for leaf in ("weight", "bias")}
    rules = [Rule(ours, (theirs,), SAME) for ours, theirs in {**_PAIRS, **leaves}.items()]
    rules += [Rule(f"head.{leaf}", (f"{head}.{leaf}",), SAME) for head in _REPLACED for leaf in ("weight", "bias")]
    return Layout("torchvision", name, tuple(rules))


LAYOUTS: Final = (
    _layout("torchvision", "0", "3"),
    _layout("torchvision before 0.14", "linear_1", "linear_2"),
)
