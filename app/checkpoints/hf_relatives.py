"""Owns the spellings of Hugging Face's classes of the ViT's relatives, alike in transformers 4 and 5; reads no files.

What a class computes otherwise than ViT's, and its tensors do not show, are its layouts' constants.
"""

import re
from typing import Any, Final

from app.checkpoints.hf import IGNORED, LEAVES, linear, trunk
from app.checkpoints.rules import (
    BATCHED,
    CLASS_VECTOR,
    FIRST_THIRD,
    LAST_TWO_THIRDS,
    REGISTER_ROWS,
    SAME,
    STACK,
    Layout,
    Rule,
)

_TEXT: Final = {
    r"text_model\..*|(text|visual)_projection\..*|logit_scale|logit_bias": "it serves the comparison with text",
    r"(vision_model\.)?embeddings\.position_ids": "it counts from zero",
}
_CLIP: Final[dict[str, Any]] = {"norm_eps": 1e-5, "gelu": "quick"}
_SIGLIP: Final[dict[str, Any]] = {"norm_eps": 1e-6, "gelu": "tanh", "class_token": False}
_INSIDE: Final = "vision_model."  # where a tower stands, unless it is transformers 5's alone


def _pairs(modules: dict[str, str]) -> list[Rule]:
    return [rule for ours, theirs in modules.items() for rule in linear(ours, theirs)]


def _tower(prefix: str) -> list[Rule]:
    """The vision side of CLIP and SigLIP, without what stands before and after its layers."""
    inside = f"{prefix}encoder.layers.{{i}}."
    layer = {
        "norm1": "layer_norm1",
        "attn.proj": "self_attn.out_proj",
        "norm2": "layer_norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    qkv = tuple(f"{inside}self_attn.{name}_proj" for name in "qkv")
    return [
        Rule("pos_embed", (f"{prefix}embeddings.position_embedding.weight",), BATCHED),
        *_pairs({"patch_embed.proj": f"{prefix}embeddings.patch_embedding"}),
        *_pairs({f"blocks.{{i}}.{ours}": f"{inside}{theirs}" for ours, theirs in layer.items()}),
        *(Rule(f"blocks.{{i}}.attn.qkv.{leaf}", tuple(f"{name}.{leaf}" for name in qkv), STACK) for leaf in LEAVES),
    ]


def _clip_tower(prefix: str) -> list[Rule]:
    return [
        Rule("cls_token", (f"{prefix}embeddings.class_embedding",), CLASS_VECTOR),
        *_tower(prefix),
        *linear("norm_pre", f"{prefix}pre_layrnorm"),
    ]


def _clip(prefix: str) -> Layout:
    rules = [*_clip_tower(prefix), *linear("norm", f"{prefix}post_layernorm")]
    return Layout("hf", "CLIPModel", tuple(rules), _TEXT, constants=_CLIP)


def _clip_classifier() -> Layout:
    rules = [*_clip_tower(_INSIDE), *linear("head", "classifier")]
    unread = {r"vision_model\.post_layernorm\..*": "the classifier reads the patches before it"}
    constants = {**_CLIP, "global_pool": "avg", "final_norm": False}
    return Layout("hf", "CLIPForImageClassification", tuple(rules), _TEXT | unread, constants=constants)


def _siglip(prefix: str) -> Layout:
    attention = f"{prefix}head.attention"
    pool = {
        "attn_pool.proj": f"{attention}.out_proj",
        "attn_pool.norm": f"{prefix}head.layernorm",
        "attn_pool.mlp.fc1": f"{prefix}head.mlp.fc1",
        "attn_pool.mlp.fc2": f"{prefix}head.mlp.fc2",
    }
    rules = [
        *_tower(prefix),
        *linear("norm", f"{prefix}post_layernorm"),
        Rule("attn_pool.latent", (f"{prefix}head.probe",), SAME),
        *_pairs(pool),
        *(
            Rule(f"attn_pool.{ours}.{leaf}", (f"{attention}.in_proj_{leaf}",), rows)
            for ours, rows in (("q", FIRST_THIRD), ("kv", LAST_TWO_THIRDS))
            for leaf in LEAVES
        ),
    ]
    return Layout("hf", "SiglipModel", tuple(rules), _TEXT, constants=_SIGLIP)


def _siglip_classifier() -> Layout:
    rules = [*_tower(_INSIDE), *linear("norm", "vision_model.post_layernorm"), *linear("head", "classifier")]
    unread = {r"vision_model\.head\..*": "the classifier reads the mean of the patches instead"}
    constants = {**_SIGLIP, "global_pool": "avg"}
    return Layout("hf", "SiglipForImageClassification", tuple(rules), _TEXT | unread, constants=constants)


def _dinov2(registered: bool, prefix: str, class_name: str, head: bool) -> Layout:
    layer = f"{prefix}encoder.layer.{{i}}."
    modules = {
        "norm1": "norm1",
        "attn.proj": "attention.output.dense",
        "norm2": "norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    packed = {"mlp.fc1": "mlp.weights_in", "mlp.fc2": "mlp.weights_out"}
    qkv = tuple(f"{layer}attention.attention.{name}" for name in ("query", "key", "value"))
    positions, registers = f"{prefix}embeddings.position_embeddings", f"{prefix}embeddings.register_tokens"
    rules = [
        Rule("cls_token", (f"{prefix}embeddings.cls_token",), SAME),
        *_pairs({"patch_embed.proj": f"{prefix}embeddings.patch_embeddings.projection"}),
        *(
            rule
            for ours, theirs in (*modules.items(), *packed.items())
            for rule in linear(f"blocks.{{i}}.{ours}", f"{layer}{theirs}")
        ),
        *(Rule(f"blocks.{{i}}.attn.qkv.{leaf}", tuple(f"{name}.{leaf}" for name in qkv), STACK) for leaf in LEAVES),
        *(Rule(f"blocks.{{i}}.ls{n}.gamma", (f"{layer}layer_scale{n}.lambda1",), SAME) for n in "12"),
        *linear("norm", f"{prefix}layernorm"),
        *(linear("head", "classifier") if head else ()),
    ]
    if registered:
        rules += [Rule("pos_embed", (positions, registers), REGISTER_ROWS), Rule("reg_token", (registers,), SAME)]
    else:
        rules.append(Rule("pos_embed", (positions,), SAME))
    constants: dict[str, Any] = {"norm_eps": 1e-6}
    if head:
        constants["global_pool"] = "token_avg"
    ignored = {re.escape(f"{prefix}embeddings.mask_token"): "only masked-image pre-training uses it"}
    return Layout("hf", class_name, tuple(rules), ignored, constants=constants)


def _vit(class_name: str, prefix: str, layers: str, constants: dict[str, Any]) -> Layout:
    """The names of ViT's own class, for another prefix."""
    rules = [*trunk("transformers 4", prefix, layers), *linear("head", "classifier")]
    return Layout("hf", class_name, tuple(rules), IGNORED, constants=constants)


LAYOUTS: Final = (
    *(_siglip(prefix) for prefix in (_INSIDE, "")),  # before CLIP's, which have places for a tower without its pooling
    _siglip_classifier(),
    *(_clip(prefix) for prefix in (_INSIDE, "")),
    _clip_classifier(),
    *(
        _dinov2(
            registered, f"{prefix}." if head else "", f"{name}ForImageClassification" if head else f"{name}Model", head
        )
        for registered, prefix, name in (
            (False, "dinov2", "Dinov2"),
            (True, "dinov2_with_registers", "Dinov2WithRegisters"),
        )
        for head in (True, False)
    ),
    _vit("IJepaForImageClassification", "ijepa.", "ijepa.", {"global_pool": "avg", "class_token": False}),
    _vit("ViTMSNForImageClassification", "vit.", "", {"norm_eps": 1e-6}),  # as transformers 5.18 saves it
)
