"""Owns the spelling of EfficientNet-Lite0 in efficientnet_lite_pytorch 0.1; does not read values."""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from app.checkpoints.read import StoredTensor
from app.checkpoints.rules import SAME, Layout, Rule, match
from app.errors import PackageError

_BACKBONE: Final = "patch_embed.backbone."
_LAYERS: Final = {
    "stem": ("_conv_stem", "_bn0"),
    "blocks.{i}.expand": ("_blocks.{i}._expand_conv", "_blocks.{i}._bn0"),
    "blocks.{i}.filter": ("_blocks.{i}._depthwise_conv", "_blocks.{i}._bn1"),
    "blocks.{i}.project": ("_blocks.{i}._project_conv", "_blocks.{i}._bn2"),
}
_LAYOUT: Final = Layout(
    "efficientnet",
    "efficientnet_lite_pytorch",
    tuple(
        Rule(f"{_BACKBONE}{ours}.{part}.{leaf}", (f"{name}.{leaf}",), SAME)
        for ours, (conv, norm) in _LAYERS.items()
        for part, name, leaves in (
            ("conv", conv, ("weight",)),
            ("norm", norm, ("weight", "bias", "running_mean", "running_var")),
        )
        for leaf in leaves
    ),
)


def read_backbone(stored: Mapping[str, StoredTensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the `expected` tensors of a network that belong to its backbone, read from an EfficientNet's.

    What the backbone has no place for, such as the classifier, is left out.
    Raises PackageError, naming it, if one is not there, has another shape or is not finite.
    """
    sources = match(_LAYOUT, stored).sources
    weights = {}
    for name, place in expected.items():
        if not name.startswith(_BACKBONE):
            continue
        if name not in sources:
            raise PackageError(f"there is no tensor for {name!r}")
        tensor = stored[str(sources[name].keys[0])].read().float()
        if tensor.shape != place.shape:
            raise PackageError(f"{name!r} has shape {tuple(tensor.shape)}, the network wants {tuple(place.shape)}")
        if not tensor.isfinite().all():
            raise PackageError(f"{name!r} holds values that are no finite numbers")
        weights[name] = tensor
    return weights
