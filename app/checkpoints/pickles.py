"""Owns the reading of what torch.save wrote, without running what lies in it; does not know what tensors are for."""

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import torch
from torch import Tensor

from app.checkpoints.stand_ins import STAND_INS, Inert
from app.checkpoints.stored import MOST_TENSORS, Opened, StoredTensor, check_count, check_ratio
from app.checkpoints.wrappings import unwrapped
from app.errors import PackageError

_CHUNK_BYTES: Final = 2**24
# How torch.save goes on after each tensor's storage: `BINPERSID`, then the offset, which is nearly always 0.
_TENSOR: Final = b"QK\x00"
# How PyTorch's refusals name what it would not make or call.
_NAMED: Final = re.compile(r"GLOBAL ([\w.]+)|``([\w.]+)``|<(?:class|function|built-in \w+) '?([\w.]+)")
_ANEW: Final = "Where you trust the file, save its weights alone: torch.save(model.state_dict(), …)"


def open_pickle(path: Path, members: Sequence[zipfile.ZipInfo] | None = None) -> Opened:
    """A file of torch.save: with `members` in its zip form, else in the older one.

    `weights_only` builds tensors and containers alone, and stand-ins for what is harmless by its name.
    Raises PackageError that names the class that stands in the way, if one does.
    """
    if members is None:
        check_count(path, _tensors_at_most(path))
    else:
        check_count(path, len(members))
        check_ratio(path, sum(member.file_size for member in members))
    try:
        # Of other protocols than its own the unpickler warns, and refuses what it does not know.
        with torch.serialization.safe_globals(list(STAND_INS)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = torch.load(path, map_location="cpu", weights_only=True, mmap=members is not None)
    except UnpicklingError as error:
        raise PackageError(f"{path}: {_refusal(str(error))}") from error
    except Exception as error:  # on broken bytes the unpickler trips over anything
        raise PackageError(f"{path}: a broken PyTorch file; fetch or save it again") from error
    if not isinstance(document, dict):
        kind = "an object of a class" if isinstance(document, Inert) else f"a {type(document).__name__}"
        raise PackageError(f"{path}: holds {kind}, not a dictionary of tensors. {_ANEW}")
    state, remarks = unwrapped(document)
    if not state:
        names = ", ".join(repr(str(name)) for name in list(document)[:8]) or "nothing"
        raise PackageError(f"{path}: holds no tensors by name, only {names}")
    check_count(path, len(state))
    return Opened({name: _loaded(path, name, tensor) for name, tensor in state.items()}, tuple(remarks))


def _tensors_at_most(path: Path) -> int:
    """About how many tensors the older form holds: to unpickle them all before saying no would take minutes."""
    count, tail = 0, b""
    with path.open("rb") as file:
        while count <= MOST_TENSORS and (chunk := file.read(_CHUNK_BYTES)):
            count += (tail + chunk).count(_TENSOR)
            tail = chunk[1 - len(_TENSOR) :]
    return count - (path.stat().st_size >> 8 * len(_TENSOR))  # what weights hold by chance


def _refusal(reason: str) -> str:
    """Our words for the unpickler's."""
    if found := _NAMED.search(reason):
        name = next(filter(None, found.groups()))[:100]
        return f"refused, for it holds an object of {name!r}, and making that could run foreign code. {_ANEW}"
    if "operand" in reason:
        return f"refused, for it is a pickle of another protocol than torch.save's, or none of torch.save's. {_ANEW}"
    return f"refused, for it holds more than tensors, and reading that could run foreign code. {_ANEW}"


def _loaded(path: Path, name: str, tensor: Tensor) -> StoredTensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise PackageError(f"{path}: {name!r} is no dense tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise PackageError(f"{path}: {name!r} declares shape {tuple(tensor.shape)}, more than the file holds")
    return StoredTensor(tuple(tensor.shape), tensor.dtype, tensor.detach)
