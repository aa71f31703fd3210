"""Owns the spellings of Hugging Face's ViT, DeiT and vit-hybrid classes, of transformers 4 and 5; reads no files."""

from typing import Final

from app.checkpoints.rules import HALF_OF_MEAN, SAME, STACK, Layout, Rule

LEAVES: Final = ("weight", "bias")
_EMBEDDING: Final = {
    "cls_token": "{p}embeddings.cls_token",
    "pos_embed": "{p}embeddings.position_embeddings",
}
_PROJECTION: Final = "{p}embeddings.patch_embeddings.projection"
_BIT: Final = "{p}embeddings.patch_embeddings.backbone.bit."
_UNIT: Final = "patch_embed.backbone.stages.{s}.blocks.{u}."
_BIT_UNIT: Final = f"{_BIT}encoder.stages.{{s}}.layers.{{u}}."
_CONVOLUTIONS: Final = {
    "patch_embed.backbone.stem.conv": f"{_BIT}embedder.convolution",
    **{f"{_UNIT}{name}": f"{_BIT_UNIT}{name}" for name in ("conv1", "conv2", "conv3", "downsample.conv")},
}
_GROUP_NORMS: Final = {
    "patch_embed.backbone.stem.norm": f"{_BIT}embedder.norm",
    **{f"{_UNIT}{name}": f"{_BIT_UNIT}{name}" for name in ("norm1", "norm2", "norm3", "downsample.norm")},
}
_V4_BLOCK: Final = "{p}encoder.layer.{i}."
_V4: Final = {
    "norm1": f"{_V4_BLOCK}layernorm_before",
    "attn.proj": f"{_V4_BLOCK}attention.output.dense",
    "norm2": f"{_V4_BLOCK}layernorm_after",
    "mlp.fc1": f"{_V4_BLOCK}intermediate.dense",
    "mlp.fc2": f"{_V4_BLOCK}output.dense",
}
_V4_QKV: Final = tuple(f"{_V4_BLOCK}attention.attention.{name}" for name in ("query", "key", "value"))
_V5_BLOCK: Final = "{p}layers.{i}."
_V5: Final = {
    "norm1": f"{_V5_BLOCK}layernorm_before",
    "attn.proj": f"{_V5_BLOCK}attention.o_proj",
    "norm2": f"{_V5_BLOCK}layernorm_after",
    "mlp.fc1": f"{_V5_BLOCK}mlp.fc1",
    "mlp.fc2": f"{_V5_BLOCK}mlp.fc2",
}
_V5_QKV: Final = tuple(f"{_V5_BLOCK}attention.{name}" for name in ("q_proj", "k_proj", "v_proj"))
_GENERATIONS: Final = {"transformers 4": (_V4, _V4_QKV), "transformers 5": (_V5, _V5_QKV)}
IGNORED: Final = {
    r"(vit\.|deit\.|ijepa\.)?embeddings\.mask_token": "only masked-image pre-training uses it",
    r"(vit\.|deit\.)?embeddings\.position_ids": "it counts from zero",
    r"decoder\..*": "only masked-image pre-training uses it",
}
_POOLER: Final = {r"(vit\.|deit\.)?pooler\..*": "the classifier does not use it"}


def trunk(generation: str, prefix: str, layers: str | None = None) -> list[Rule]:
    """All of ViT's network but its head, below `prefix`, and its layers below another if that is given."""
    modules, qkv = _GENERATIONS[generation]
    pairs = {f"blocks.{{i}}.{ours}": theirs for ours, theirs in modules.items()}
    pairs = {**_GROUP_NORMS, "patch_embed.proj": _PROJECTION, "norm": "{p}layernorm", **pairs}
    rules = [
        *(Rule(ours, (theirs,), SAME) for ours, theirs in _EMBEDDING.items()),
        *(Rule(f"{ours}.weight", (f"{theirs}.weight",), SAME) for ours, theirs in _CONVOLUTIONS.items()),
        *(Rule(f"{ours}.{leaf}", (f"{theirs}.{leaf}",), SAME) for ours, theirs in pairs.items() for leaf in LEAVES),
        *(Rule(f"blocks.{{i}}.attn.qkv.{leaf}", tuple(f"{name}.{leaf}" for name in qkv), STACK) for leaf in LEAVES),
    ]
    below = {True: prefix if layers is None else layers, False: prefix}
    return [
        Rule(r.ours, tuple(name.replace("{p}", below[r.ours.startswith("blocks.")]) for name in r.theirs), r.transform)
        for r in rules
    ]


def linear(ours: str, theirs: str) -> list[Rule]:
    """A module's weight and bias under another name."""
    return [Rule(f"{ours}.{leaf}", (f"{theirs}.{leaf}",), SAME) for leaf in LEAVES]


_TEACHER: Final = [*linear("head", "cls_classifier"), *linear("head_dist", "distillation_classifier")]
_ONE_HEAD_OF_TWO: Final = [Rule(f"head.{leaf}", (f"classifier.{leaf}",), HALF_OF_MEAN) for leaf in LEAVES]


def _layouts(generation: str) -> list[Layout]:
    """One for each class. The order decides where a file leaves it open."""
    vit, deit, bare = (trunk(generation, prefix) for prefix in ("vit.", "deit.", ""))
    deit.append(Rule("dist_token", ("deit.embeddings.distillation_token",), SAME))
    bare_deit = [*bare, Rule("dist_token", ("embeddings.distillation_token",), SAME)]
    unused = {**IGNORED, **_POOLER}
    rules = {
        "ViTForImageClassification": ([*vit, *linear("head", "classifier")], unused),
        "ViTModel": ([*bare, *linear("pre_logits.fc", "pooler.dense")], IGNORED),
        "DeiTForImageClassification": ([*deit, *_ONE_HEAD_OF_TWO], unused),
        "DeiTForImageClassificationWithTeacher": ([*deit, *_TEACHER], unused),
        "DeiTModel": (bare_deit, unused),
    }
    zeros = {"DeiTForImageClassification": ("head_dist.weight", "head_dist.bias")}
    return [
        Layout("hf", f"{generation}, {name}", tuple(each), ignored, zeros.get(name, ()))
        for name, (each, ignored) in rules.items()
    ]


LAYOUTS: Final = tuple(layout for generation in _GENERATIONS for layout in _layouts(generation))
