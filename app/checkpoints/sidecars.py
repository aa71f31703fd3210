"""Owns what the JSON files beside a checkpoint say of it, timm's and transformers'; does not read weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.checkpoints.timm_config import ACT_LAYERS
from app.domain import Activation, PreprocessSpec
from app.errors import NotOurNetwork, UnknownVariant
from app.package.preprocessing import at_size, preprocess_from_hf, preprocess_from_timm
from app.package.published import unlike
from app.package.values import flag, height_and_width, mapping, number, one_of, whole
from app.package.variants import VARIANTS, ViTConfig, variant

_GELUS: Final = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "quick_gelu": "quick"}
_TIMM_GELUS: Final = {theirs: ours for ours, theirs in ACT_LAYERS.items()}
# timm's arguments that change what is computed and leave no trace in the weights' names.
_OTHER_NETWORKS: Final = (
    *("norm_layer", "mlp_layer", "attn_layer", "block_fn", "embed_layer", "embed_norm_layer"),
    *("scale_attn_norm", "scale_mlp_norm"),
)
_TIMM_POOLS: Final = ("token", "avg", "map")
# transformers' classes whose networks are served, and what each has where its configuration is silent.
_MODEL_TYPES: Final = {
    **dict.fromkeys(("vit", "deit", "vit-hybrid", "vit_mae", "ijepa"), (1e-12, "gelu")),
    **dict.fromkeys(("vit_msn", "dinov2", "dinov2_with_registers"), (1e-6, "gelu")),
    **dict.fromkeys(("clip", "clip_vision_model"), (1e-5, "quick_gelu")),
    **dict.fromkeys(("siglip", "siglip_vision_model"), (1e-6, "gelu_pytorch_tanh")),
}
_FREE_SIZE: Final = ("dinov2", "dinov2_with_registers")  # positions are resized to whatever the processor gives

# transformers' `problem_type` by the loss that it stands for. Its pipeline would take even a regression for classes.
_PROBLEMS: Final[dict[str, Activation]] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
}


@dataclass(frozen=True, slots=True)
class Stated:
    """What is known without the weights; None where nothing is said."""

    num_heads: int | None = None
    img_size: tuple[int, int] | None = None  # that the position table is for
    served_size: tuple[int, int] | None = None  # where the library resizes the table to the images
    constants: Mapping[str, Any] = field(default_factory=dict)  # of ViTConfig
    preprocess: PreprocessSpec | None = None
    architecture: str | None = None
    tag: str | None = None
    activation: Activation | None = None


def stated(config: Mapping[str, Any] | None, preprocessor: Mapping[str, Any] | None) -> Stated:
    """Reads either library's files. Raises ValueError, TypeError or PackageError, with a message fit for a person."""
    if config is None:
        return Stated()
    activation = stated_activation(config)
    if "architecture" in config:
        return replace(_timm(config), activation=activation)
    if "model_type" in config:
        return replace(_transformers(config, preprocessor), activation=activation)
    raise ValueError("config.json is neither timm's (no 'architecture') nor transformers' (no 'model_type')")


def stated_activation(config: Mapping[str, Any]) -> Activation | None:
    """What transformers' `problem_type` stands for; None where nothing is said. Raises ValueError."""
    problem = config.get("problem_type")
    return None if problem is None else _PROBLEMS[one_of(problem, tuple(_PROBLEMS), "problem_type")]


def activation_of(stated: Activation | None, classes: int) -> Activation:
    """What is stated, but that a head of one class is no softmax's, whose score would always be 1."""
    return "sigmoid" if classes == 1 and stated != "none" else stated or "softmax"


def _timm(config: Mapping[str, Any]) -> Stated:
    """Of the shape only what weights do not say is taken; the rest is theirs, whatever the architecture's name."""
    architecture, _, tag = str(config["architecture"]).partition(".")  # whose weights, behind the dot
    args = mapping(config.get("model_args") or {}, "model_args")
    if odd := [name for name in _OTHER_NETWORKS if args.get(name) not in (None, False, 0)]:
        raise NotOurNetwork(f"model_args has {', '.join(odd)}, which makes another network than those served here")
    pretrained = mapping(config.get("pretrained_cfg", config), "pretrained_cfg")
    published = _published(architecture)
    heads = args.get("num_heads", published.num_heads if published else None)
    spec = preprocess_from_timm(pretrained)
    if (size := args.get("img_size")) is not None:  # which timm follows, even if the rest was left at another size
        spec = at_size(spec, *height_and_width(size, "img_size"))
    return Stated(
        num_heads=None if heads is None else whole(heads, "num_heads"),
        img_size=(spec.height, spec.width),
        constants=_timm_constants(published, args, pretrained, config.get("global_pool")),
        preprocess=spec,
        architecture=architecture,
        tag=pretrained.get("tag") or tag or None,
    )


def _published(architecture: str) -> ViTConfig | None:
    """What timm has under that name; None if that is no Vision Transformer that is known here."""
    if architecture not in VARIANTS and (reason := unlike(architecture)):
        raise NotOurNetwork(f"timm's {architecture} has {reason}, which the networks served here have not")
    try:
        return variant(architecture)
    except UnknownVariant:
        return None


def _timm_constants(
    published: ViTConfig | None, args: Mapping[str, Any], pretrained: Mapping[str, Any], top: str | None
) -> dict[str, Any]:
    """What no tensor shows: as timm does, an argument goes before the weights' own, and those before the name's."""
    constants: dict[str, Any] = {}
    if published is not None:
        constants = {name: getattr(published, name) for name in ("gelu", "norm_eps", "pool_include_prefix")}
        constants["init_values"] = published.init_values or 1e-5  # where the tensors say that there is one
    pool = args.get("global_pool") or pretrained.get("global_pool") or (published.global_pool if published else None)
    if top and top != pool:
        raise ValueError(f"global_pool is {top!r}, but timm builds {pool or 'token'!r}, for model_args does not say so")
    if pool is not None:
        constants["global_pool"] = _ours(pool, _TIMM_POOLS, "global_pool")
    if args.get("pool_include_prefix") is not None:
        constants["pool_include_prefix"] = flag(args["pool_include_prefix"], "pool_include_prefix")
    if args.get("act_layer") is not None:
        constants["gelu"] = _TIMM_GELUS[_ours(args["act_layer"], tuple(_TIMM_GELUS), "act_layer")]
    if args.get("init_values") is not None:
        constants["init_values"] = number(args["init_values"], "init_values")
    return constants


def _transformers(config: Mapping[str, Any], preprocessor: Mapping[str, Any] | None) -> Stated:
    kind = _ours(config["model_type"], tuple(_MODEL_TYPES), "model_type")
    eps, act = _MODEL_TYPES[kind]
    shape = mapping(config["vision_config"], "vision_config") if kind in ("clip", "siglip") else config
    size = height_and_width(shape.get("image_size", 224), "image_size")
    spec = None if preprocessor is None else preprocess_from_hf(preprocessor, kind)
    constants = {
        "norm_eps": number(shape.get("layer_norm_eps", eps), "layer_norm_eps"),
        "gelu": _GELUS[_ours(shape.get("hidden_act", act), tuple(_GELUS), "hidden_act")],
    }
    if kind in _FREE_SIZE:
        constants["init_values"] = number(shape.get("layerscale_value", 1.0), "layerscale_value")
    return Stated(
        num_heads=whole(shape.get("num_attention_heads", 12), "num_attention_heads"),
        img_size=size,
        served_size=(spec.height, spec.width) if spec is not None and kind in _FREE_SIZE else None,
        constants=constants,
        preprocess=spec,
    )


def _ours(value: object, choices: tuple[str, ...], name: str) -> Any:
    """As `one_of`, but that another value is another network than ours. Raises NotOurNetwork."""
    try:
        return one_of(value, choices, name)
    except ValueError as error:
        raise NotOurNetwork(str(error)) from error
