"""Owns scanned JAX checkpoints, whose blocks are one array with the layer as first axis; does not name tensors."""

from collections.abc import Mapping
from functools import cache, partial
from typing import Final

from torch import Tensor

from app.checkpoints.npz import STACKED
from app.checkpoints.read import StoredTensor
from app.errors import PackageError

_MOST_LAYERS: Final = 1000


def unstacked(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The same with one tensor a layer, under `encoderblock_0`, `encoderblock_1`, …; others as they are."""
    plain: dict[str, StoredTensor] = {}
    for key, stored in tensors.items():
        before, stacked, leaf = key.partition(STACKED)
        if not stacked or not stored.shape:
            plain[key] = stored
            continue
        if stored.shape[0] > _MOST_LAYERS:  # an array without elements may claim any number
            raise PackageError(f"{key!r} holds {stored.shape[0]} layers; {_MOST_LAYERS} is the most")
        read = cache(stored.read)  # once for all its layers
        for layer in range(stored.shape[0]):
            name = f"{before}{STACKED[:-1]}_{layer}/{leaf}"
            plain[name] = StoredTensor(stored.shape[1:], stored.dtype, partial(_layer, read, layer))
    return plain


def _layer(read, layer: int) -> Tensor:  # type: ignore[no-untyped-def]
    tensor: Tensor = read()[layer]
    return tensor
