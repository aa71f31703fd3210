"""Owns what the JSON files beside a checkpoint say of it, timm's and transformers'; does not read weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.domain import PreprocessSpec
from app.package.preprocessing import at_size, preprocess_from_hf, preprocess_from_timm
from app.package.values import height_and_width, mapping, number, one_of, whole
from app.package.variants import VARIANTS

_ACTIVATIONS: Final = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
# timm's arguments that change what is computed and leave no trace in the weights' names.
_OTHER_NETWORKS: Final = ("act_layer", "norm_layer", "mlp_layer", "attn_layer", "block_fn", "embed_layer", "pre_norm")
_MODEL_TYPES: Final = ("vit", "deit", "vit-hybrid")


@dataclass(frozen=True, slots=True)
class Stated:
    """What is known without the weights; None where nothing is said."""

    num_heads: int | None = None
    img_size: tuple[int, int] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)  # of ViTConfig
    preprocess: PreprocessSpec | None = None
    architecture: str | None = None
    tag: str | None = None


def stated(config: Mapping[str, Any] | None, preprocessor: Mapping[str, Any] | None) -> Stated:
    """Reads either library's files. Raises ValueError, TypeError or PackageError, with a message fit for a person."""
    if config is None:
        return Stated()
    if "architecture" in config:
        return _timm(config)
    if "model_type" in config:
        return _transformers(config, preprocessor)
    raise ValueError("config.json is neither timm's (no 'architecture') nor transformers' (no 'model_type')")


def _timm(config: Mapping[str, Any]) -> Stated:
    """Of the shape only what weights do not say is taken; the rest is theirs, whatever the architecture's name."""
    architecture = str(config["architecture"])
    if (pool := config.get("global_pool") or "token") != "token":
        raise ValueError(f"global_pool is {pool!r}; only the class token is served")
    args = mapping(config.get("model_args") or {}, "model_args")
    if odd := [name for name in _OTHER_NETWORKS if args.get(name) not in (None, False, 0)]:
        raise ValueError(f"model_args has {', '.join(odd)}, which makes another network than the paper's")
    heads = args.get("num_heads")
    if heads is None and architecture in VARIANTS:
        heads = VARIANTS[architecture].num_heads
    pretrained = mapping(config.get("pretrained_cfg", config), "pretrained_cfg")
    spec = preprocess_from_timm(pretrained)
    if (size := args.get("img_size")) is not None:  # which timm follows, even if the rest was left at another size
        spec = at_size(spec, *height_and_width(size, "img_size"))
    return Stated(
        num_heads=None if heads is None else whole(heads, "num_heads"),
        img_size=(spec.height, spec.width),
        preprocess=spec,
        architecture=architecture,
        tag=pretrained.get("tag"),
    )


def _transformers(config: Mapping[str, Any], preprocessor: Mapping[str, Any] | None) -> Stated:
    kind = one_of(config["model_type"], _MODEL_TYPES, "model_type")
    act = one_of(config.get("hidden_act", "gelu"), tuple(_ACTIVATIONS), "hidden_act")
    return Stated(
        num_heads=whole(config.get("num_attention_heads", 12), "num_attention_heads"),
        img_size=height_and_width(config.get("image_size", 224), "image_size"),
        constants={
            "norm_eps": number(config.get("layer_norm_eps", 1e-12), "layer_norm_eps"),
            "gelu": _ACTIVATIONS[act],
        },
        preprocess=None if preprocessor is None else preprocess_from_hf(preprocessor, kind),
    )
