"""Owns the arguments by which timm builds a network, an exported one's and a folder's; does not read or write files."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.checkpoints.known import is_known
from app.checkpoints.own import TIMM_ARGS
from app.errors import PackageError
from app.package.published import published_fields, unlike
from app.package.variants import VARIANTS, ViTConfig, variant, variant_names

# What no argument changes: the name alone decides.
_BY_NAME: Final = ("backbone_layers", "distilled", "mlp_layer")
# Arguments that are written where they are not the name's own.
_SWITCHES: Final = (
    *("class_token", "no_embed_class", "reg_tokens", "global_pool", "pool_include_prefix", "pre_norm", "final_norm"),
    *("qk_norm", "proj_bias", "init_values", "in_chans"),
)
ACT_LAYERS: Final = {"erf": "gelu", "tanh": "gelu_tanh", "quick": "quick_gelu"}


def timm_arguments(config: ViTConfig, architecture: str) -> tuple[str, dict[str, Any]]:
    """What `timm.create_model` builds this network of: a name, `architecture` if that will do, and `model_args`.

    Raises PackageError if timm has no such network.
    """
    if config.global_pool == "token_avg":
        raise PackageError("timm has no pooling that joins the class token and the patches' mean")
    likest = sorted((name for name in _names(architecture) if _builds(name, config)), key=lambda n: _miss(n, config))
    if not likest:
        wanted = ", ".join(f"{name} {getattr(config, name)!r}" for name in (*_BY_NAME, "init_values"))
        raise PackageError(f"timm decides by an architecture's name, and has none with {wanted}")
    base = variant(likest[0])
    arguments = {name: getattr(config, name) for name in TIMM_ARGS}
    arguments["img_size"] = list(config.img_size)
    arguments |= {n: getattr(config, n) for n in _SWITCHES if getattr(config, n) != getattr(base, n)}
    if config.norms_pooled != (config.global_pool == "avg") or base.fc_norm is not None:
        arguments["fc_norm"] = config.norms_pooled
    if config.position == "none":
        arguments["pos_embed"] = "none"
    if config.gelu != base.gelu and config.mlp_layer == "mlp":
        arguments["act_layer"] = ACT_LAYERS[config.gelu]
    return likest[0], arguments


def check_width(document: Mapping[str, Any], width: int) -> None:
    """Raises PackageError if `config.json` leaves the heads to a name of timm's that stands for another width.

    As timm, which could not load that either: `embed_dim` alone in model_args leaves the name's number of heads.
    """
    name, arguments = str(document.get("architecture")), document.get("model_args") or {}
    if arguments.get("num_heads") is not None or not is_known(name):
        return
    if (stated := arguments.get("embed_dim") or variant(name).embed_dim) != width:
        raise PackageError(
            f"config.json says {name}, of width {stated}, but its tensors have {width}, so how many heads it has is "
            "not known: bring it into a package with `vit-serve convert --heads N`"
        )


def _names(first: str) -> Iterator[str]:
    """Architectures that timm has too, `first` before all others."""
    ours = {name for name in VARIANTS if published_fields(name) is None and unlike(name) is None}
    yield from (name for name in (first, *variant_names()) if name not in ours)


def _builds(name: str, config: ViTConfig) -> bool:
    """Whether arguments can make the network of this one; timm takes a None for no argument."""
    base = variant(name)
    same = all(getattr(base, each) == getattr(config, each) for each in _BY_NAME)
    return same and (base.init_values is None or config.init_values is not None)


def _miss(name: str, config: ViTConfig) -> bool:
    return variant(name).norm_eps != config.norm_eps
