"""Owns what a tensor is that still lies in a file, and what a file of them gives; does not read files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from app.errors import PackageError

MOST_TENSORS: Final = 30_000  # of one file; the largest networks have some thousand, an optimizer's state thrice that
_MAX_RATIO: Final = 100  # of declared bytes to those on the disk; weights hardly compress


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that is still on the disk: `read` allocates, shape and type are the header's."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Opened:
    """A file's tensors by key, and what a person should be told of how they were found."""

    tensors: Mapping[str, StoredTensor]
    remarks: tuple[str, ...] = ()


def check_count(path: Path, count: int) -> None:
    """Raises PackageError if a file holds more tensors than any network has."""
    if count > MOST_TENSORS:
        raise PackageError(
            f"{path}: holds over {MOST_TENSORS} tensors, more than any network that is served; "
            "save the weights alone, without what training keeps beside them"
        )


def check_ratio(path: Path, declared: int) -> None:
    """Raises PackageError if an archive would grow beyond what weights do when it is unpacked; in bytes."""
    if declared > _MAX_RATIO * path.stat().st_size:
        raise PackageError(f"{path}: a file of {path.stat().st_size} bytes declares {declared} bytes of content")
