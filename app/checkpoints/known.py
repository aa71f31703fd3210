"""Owns whether a relative that tensors alone show is one that is known; does not read tensors.

Rotary positions, norms in other places and parallel branches leave no trace among the names: what looks like a
relative may be another network, whose answers would be wrong without a word.
"""

from dataclasses import replace
from functools import cache
from typing import Any, Final

from app.checkpoints.rules import Match
from app.errors import NotOurNetwork, PackageError
from app.package.published import published_names
from app.package.variants import ViTConfig, variant, variant_names

_Structure = tuple[Any, ...]
_PLAIN: Final = ViTConfig()
# As MAE's fine-tuned networks: no architecture's name stands for them, for they are the paper's with an argument.
_ALSO: Final = (_PLAIN, replace(_PLAIN, no_embed_class=True), replace(_PLAIN, global_pool="avg"))


def is_known(architecture: object) -> bool:
    """Whether it is one of ours, or one of timm's that our network can be."""
    return architecture in variant_names()


def check_known(config: ViTConfig, found: Match, architecture: str | None, file_name: str) -> None:
    """Raises PackageError if these tensors, of timm's spelling and of no architecture that is known, might be others'.

    `architecture` is what the file's configuration says, or the person who asks; one that is known settles it. The
    spelling of DeiT III's repository is also that of networks with rotary positions, so its file's name must say it.
    """
    if is_known(architecture) or _structure(config) in {_structure(each) for each in _ALSO[:2]}:
        return
    if architecture is not None:
        raise NotOurNetwork(
            f"the architecture {architecture!r} is not known here, and its tensors are not those of the paper's network"
        )
    scale = found.sources.get("blocks.0.ls1.gamma")
    rotary = scale is not None and "gamma_1" in str(scale.keys[0]) and "deit" not in file_name.lower()
    same = [each for each in _published() if _structure(each) == _structure(config)]
    if _is_ambiguous(config):  # the same names as a network with its norms behind the branches
        same = [each for each in same if (each.embed_dim, each.depth) == (config.embed_dim, config.depth)]
    if rotary or not same:
        raise PackageError(
            "its tensors are of a relative that their names do not tell from others (rotary positions, other places of "
            "norms); beside a config.json, or with --variant NAME, it is known which"
        )


def _is_ambiguous(config: ViTConfig) -> bool:
    return not config.class_token and config.norms_pooled and config.init_values is None and not config.reg_tokens


@cache
def _published() -> tuple[ViTConfig, ...]:
    return (*_ALSO, *(variant(name) for name in published_names()))


def _structure(config: ViTConfig) -> _Structure:
    """All but sizes."""
    return (
        *(config.class_token, bool(config.reg_tokens), config.pre_norm, config.final_norm, config.global_pool),
        *(config.norms_pooled, config.init_values is None, config.mlp_layer, config.qk_norm, config.proj_bias),
        *(config.no_embed_class and config.num_prefix_tokens > 0, config.position),
    )
