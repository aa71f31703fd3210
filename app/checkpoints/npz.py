"""Owns the spellings of Google's JAX checkpoints (vision_transformer and big_vision); does not read files.

Names before flax's Linen number all modules of a block in one sequence, Linen's each class on its own.
"""

from collections.abc import Mapping
from typing import Final

from app.checkpoints.rules import (
    CONV,
    DENSE,
    GROUP_NORM,
    OUT_KERNEL,
    SAME,
    Layout,
    Rule,
    Transform,
    head_biases,
    head_kernels,
)

PREFIXES: Final = ("", "opt/target/", "params/", "params/img/")
STACKED: Final = "Transformer/encoderblock/"  # scanned blocks: one array for all layers, its first axis the layer
_BLOCK: Final = "{p}Transformer/encoderblock_{i}/"
_UNIT: Final = "{p}block{s+1}/unit{u+1}/"


def _norm(ours: str, theirs: str, transform: Transform = SAME) -> list[Rule]:
    pairs = (("weight", "scale"), ("bias", "bias"))
    return [Rule(f"{ours}.{leaf}", (f"{theirs}/{name}",), transform) for leaf, name in pairs]


def _dense(ours: str, theirs: str) -> list[Rule]:
    return [
        Rule(f"{ours}.weight", (f"{theirs}/kernel",), DENSE),
        Rule(f"{ours}.bias", (f"{theirs}/bias",), SAME),
    ]


def _projected(ours: str, attention: str, *names: str) -> list[Rule]:
    kernels, biases = (tuple(f"{attention}/{name}/{leaf}" for name in names) for leaf in ("kernel", "bias"))
    return [
        Rule(f"{ours}.weight", kernels, head_kernels(len(names))),
        Rule(f"{ours}.bias", biases, head_biases(len(names))),
    ]


def _output(ours: str, attention: str) -> list[Rule]:
    return [
        Rule(f"{ours}.weight", (f"{attention}/out/kernel",), OUT_KERNEL),
        Rule(f"{ours}.bias", (f"{attention}/out/bias",), SAME),
    ]


def _block(norms: tuple[str, str], attention: str, mlp: str) -> list[Rule]:
    inside = f"{_BLOCK}MultiHeadDotProductAttention_{attention}"
    return [
        *_norm("blocks.{i}.norm1", f"{_BLOCK}LayerNorm_{norms[0]}"),
        *_projected("blocks.{i}.attn.qkv", inside, "query", "key", "value"),
        *_output("blocks.{i}.attn.proj", inside),
        *_norm("blocks.{i}.norm2", f"{_BLOCK}LayerNorm_{norms[1]}"),
        *_dense("blocks.{i}.mlp.fc1", f"{_BLOCK}MlpBlock_{mlp}/Dense_0"),
        *_dense("blocks.{i}.mlp.fc2", f"{_BLOCK}MlpBlock_{mlp}/Dense_1"),
    ]


def _convolution(ours: str, theirs: str, norm: str) -> list[Rule]:
    conv_name, norm_name = ours.format(kind="conv"), ours.format(kind="norm")
    return [Rule(f"{conv_name}.weight", (f"{theirs}/kernel",), CONV), *_norm(norm_name, norm, GROUP_NORM)]


def _backbone(root: str) -> list[Rule]:
    return _convolution(f"patch_embed.backbone.{root}{{kind}}", "{p}conv_root", "{p}gn_root")


def _units() -> list[Rule]:
    unit = "patch_embed.backbone.stages.{{s}}.blocks.{{u}}."
    rules = _convolution(f"{unit}downsample.{{kind}}", f"{_UNIT}conv_proj", f"{_UNIT}gn_proj")
    for n in "123":
        rules += _convolution(f"{unit}{{kind}}{n}", f"{_UNIT}conv{n}", f"{_UNIT}gn{n}")
    return rules


def _layouts(name: str, position: str, block: list[Rule]) -> list[Layout]:
    plain = [
        Rule("cls_token", ("{p}cls",), SAME),
        Rule("pos_embed", (f"{{p}}{position}",), SAME),
        Rule("patch_embed.proj.weight", ("{p}embedding/kernel",), CONV),
        Rule("patch_embed.proj.bias", ("{p}embedding/bias",), SAME),
        *block,
        *_norm("norm", "{p}Transformer/encoder_norm"),
        *_dense("pre_logits.fc", "{p}pre_logits"),
        *_dense("head", "{p}head"),
    ]
    return [
        Layout("npz", name, tuple(_prefixed(rule, prefix) for rule in [*plain, *backbone]))
        for prefix in PREFIXES
        for backbone in (
            _backbone(""),
            [*_backbone("stem."), *_units()],
        )  # a root without units has another name in timm
    ]


def _siglip(prefix: str) -> Layout:
    """big_vision's image tower of SigLIP, with a head or without: no class token, and attention in its place."""
    pool = "{p}MAPHead_0"
    rules = [
        Rule("pos_embed", ("{p}pos_embedding",), SAME),
        Rule("patch_embed.proj.weight", ("{p}embedding/kernel",), CONV),
        Rule("patch_embed.proj.bias", ("{p}embedding/bias",), SAME),
        *_LINEN,
        *_norm("norm", "{p}Transformer/encoder_norm"),
        Rule("attn_pool.latent", (f"{pool}/probe",), SAME),
        *_projected("attn_pool.q", f"{pool}/MultiHeadDotProductAttention_0", "query"),
        *_projected("attn_pool.kv", f"{pool}/MultiHeadDotProductAttention_0", "key", "value"),
        *_output("attn_pool.proj", f"{pool}/MultiHeadDotProductAttention_0"),
        *_norm("attn_pool.norm", f"{pool}/LayerNorm_0"),
        *_dense("attn_pool.mlp.fc1", f"{pool}/MlpBlock_0/Dense_0"),
        *_dense("attn_pool.mlp.fc2", f"{pool}/MlpBlock_0/Dense_1"),
        *_dense("head", "{p}head"),
    ]
    return Layout(
        "npz",
        "npz, big_vision's SigLIP",
        tuple(_prefixed(rule, prefix) for rule in rules),
        {r"(params/)?(txt/.*|t|b)": "it serves the comparison with text"},
        constants={"class_token": False},
    )


def _prefixed(rule: Rule, prefix: str) -> Rule:
    return Rule(rule.ours, tuple(name.replace("{p}", prefix) for name in rule.theirs), rule.transform)


_BEFORE_LINEN: Final = _block(("0", "2"), "1", "3")
_LINEN: Final = _block(("0", "1"), "0", "0")
# The first is the one that released files have, and the one written.
LAYOUTS: Final = (
    *_layouts("npz, names before Linen", "Transformer/posembed_input/pos_embedding", _BEFORE_LINEN),
    *_layouts("npz, Linen names", "Transformer/posembed_input/pos_embedding", _LINEN),
    *_layouts("npz, big_vision", "pos_embedding", _LINEN),
    *_layouts("npz, older big_vision", "Transformer/pos_embedding", _LINEN),
)
READ_ONLY: Final = tuple(_siglip(prefix) for prefix in ("", "params/", "params/img/", "img/"))


def num_heads(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """The heads, which are an axis of the attention's arrays here alone; None if there is no such array."""
    return next((shape[-2] for key, shape in shapes.items() if key.endswith("/query/kernel") and len(shape) == 3), None)
