"""Owns what a library has to give so that its networks are served, and the check of it; does not import libraries."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from app.checkpoints.folder import Files
from app.domain import PreprocessSpec
from app.errors import PackageError
from app.network.library import LibraryNetwork

# PyTorch's words for weights that do not fit.
_UNFIT: Final = re.compile(
    r'Missing key\(s\) in state_dict: "([^"]+)"|Unexpected key\(s\) in state_dict: "([^"]+)"|'
    r"size mismatch for ([^:]+): copying a param with shape torch\.Size\((\[[^]]*\])\) from checkpoint, "
    r"the shape in current model is torch\.Size\((\[[^]]*\])\)"
)


@dataclass(frozen=True, slots=True)
class Provided:
    """What a library builds out of a folder: a network for images that are prepared as `preprocess` says."""

    network: nn.Module  # normalised float32 images (batch, 3, height, width) → logits (batch, classes)
    preprocess: PreprocessSpec
    architecture: str
    tag: str | None = None  # whose weights, in a word
    remarks: tuple[str, ...] = ()


class Provider(Protocol):
    """A library, without importing it before `provide`."""

    @property
    def library(self) -> str:
        """Its name, which is also that of our extra."""

    def network_name(self, config: Mapping[str, Any]) -> str | None:
        """The network that a config.json of this library describes; None: it is not one of this library's."""

    def provide(self, folder: Path, files: Files) -> Provided:
        """Builds it. Raises PackageError, or whatever the library raises."""


def proven(provided: Provided) -> tuple[LibraryNetwork, int]:
    """The network ready to serve, and how many classes it has, from two images that it was tried with.

    Raises PackageError where what comes out are no logits of each image, or the same for all classes.
    """
    network = LibraryNetwork(provided.network.requires_grad_(False).float()).eval()
    if broken := [name for name, tensor in provided.network.state_dict().items() if not _finite(tensor)]:
        raise PackageError(f"{broken[0]!r} holds values that are no finite numbers")
    spec, generator = provided.preprocess, torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, spec.height, spec.width, generator=generator)
    try:
        with torch.inference_mode():
            logits: Any = network(images)
    except Exception as error:  # whatever a network of another input than pictures of this size trips over
        raise PackageError(
            f"{provided.architecture} does not take images of {spec.height} x {spec.width} px: {first_line(error)}"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != 2 or logits.shape[1] < 1:
        raise PackageError(f"{provided.architecture} does not give one row of logits for each image")
    if not logits.isfinite().all():
        raise PackageError(f"{provided.architecture} gives values that are no finite numbers")
    classes = logits.shape[1]
    if classes > 1 and (logits == logits[:, :1]).all():
        raise PackageError(f"{provided.architecture} scores all classes the same: its head was never trained")
    return network, classes


def first_line(error: Exception) -> str:
    """An error of a library in one line of bounded length; of PyTorch's long one about weights, what it says first."""
    text = " ".join(str(error).split()) or "no reason is given"
    if found := _UNFIT.search(text):
        absent, extra, other, theirs, ours = found.groups()
        if other:
            return f"{other!r} has shape {theirs}, the network wants {ours}"
        return f"there is no tensor for {absent!r}" if absent else f"the tensor {extra!r} has no place in the network"
    return f"{type(error).__name__}: {text[:300]}{'…' if len(text) > 300 else ''}"


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())
