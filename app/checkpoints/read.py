"""Owns the safe reading of foreign weight files, tensor by tensor; does not know what the tensors are for."""

import argparse
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from app.errors import PackageError

_SAFETENSORS: Final = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NUMPY: Final = {"f8": torch.float64, "f4": torch.float32, "f2": torch.float16, "V2": torch.bfloat16}
_MAX_RATIO: Final = 100  # of declared bytes to those on the disk; weights hardly compress
_WRAPPERS: Final = ("model", "state_dict", "model_state_dict")
# What numpy and zipfile raise on members that are damaged, encrypted or packed by a method that Python lacks.
_DAMAGE: Final = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError)
_SHELLS: Final = ("module.", "_orig_mod.")  # DistributedDataParallel's, and torch.compile's


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that is still on the disk: `read` allocates, shape and type are the header's."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]


def open_tensors(path: Path) -> dict[str, StoredTensor]:
    """What the file holds, by key; the kind of file is told from its first bytes. Nothing in it is executed.

    Raises PackageError if it is none of safetensors, npz, a torch checkpoint; if it is broken, or holds anything
    else than floating-point tensors where those are due; or if it declares more bytes than it has.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if start[8:9] == b"{":
            return _safetensors(path)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            return _npz(path) if any(name.endswith(".npy") for name in names) else _torch(path)
        if start.startswith(b"\x80"):
            return _torch(path)
    except (OSError, zipfile.BadZipFile, SafetensorError) as error:
        raise PackageError(f"{path}: cannot be read: {error}") from error
    raise PackageError(f"{path}: neither a safetensors, nor an npz, nor a PyTorch file")


def _safetensors(path: Path) -> dict[str, StoredTensor]:
    file: Any = safe_open(path, framework="pt")  # stays open: the tensors are views of the mapped file
    stored = {}
    for name in file.keys():  # noqa: SIM118 - no iterator
        header = file.get_slice(name)
        dtype = _SAFETENSORS.get(header.get_dtype(), torch.int64)
        stored[name] = StoredTensor(tuple(header.get_shape()), dtype, lambda name=name: file.get_tensor(name))  # type: ignore[misc]
    return _stripped(stored)


def _torch(path: Path) -> dict[str, StoredTensor]:
    """A file of torch.save, in its zip form or the older one. `weights_only` builds tensors and containers alone."""
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            _check_ratio(path, sum(member.file_size for member in archive.infolist()))
    try:
        # Training scripts put their options in, as a Namespace. Of other protocols than its own the unpickler warns,
        # and refuses what it does not know.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise PackageError(
            f"{path}: refused, for it holds more than tensors, and reading that could run foreign code. "
            f"Save the weights alone where you trust them: torch.save(model.state_dict(), …). {_first_line(error)}"
        ) from error
    except (RuntimeError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise PackageError(f"{path}: a broken PyTorch file: {_first_line(error)}") from error
    return _stripped({name: _loaded(path, name, tensor) for name, tensor in _state(path, document).items()})


def _state(path: Path, document: Any) -> dict[str, Tensor]:
    """The state dict, out of what it may be wrapped in; what is no tensor is left out."""
    for _ in range(3):
        inner = next((document[key] for key in _WRAPPERS if isinstance(_get(document, key), dict)), None)
        if inner is None:
            break
        document = inner
    if not isinstance(document, dict):
        raise PackageError(f"{path}: holds a {type(document).__name__}, not a dictionary of tensors")
    state = {name: value for name, value in document.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        raise PackageError(f"{path}: holds no tensors, only {', '.join(map(str, list(document)[:8])) or 'nothing'}")
    return state


def _get(document: Any, key: str) -> Any:
    return document.get(key) if isinstance(document, dict) else None


def _loaded(path: Path, name: str, tensor: Tensor) -> StoredTensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise PackageError(f"{path}: {name!r} is no dense tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise PackageError(f"{path}: {name!r} declares shape {tuple(tensor.shape)}, more than the file holds")
    return StoredTensor(tuple(tensor.shape), tensor.dtype, tensor.detach)


def _npz(path: Path) -> dict[str, StoredTensor]:
    archive = zipfile.ZipFile(path)  # stays open, for the arrays are read later
    _check_ratio(path, sum(member.file_size for member in archive.infolist()))
    stored = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        try:
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read_header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read_header(file)
                size = member.file_size - file.tell()
        except _DAMAGE as error:
            raise PackageError(f"{path}: {name!r} is no numpy array: {_first_line(error)}") from error
        if dtype.hasobject:
            raise PackageError(f"{path}: {name!r} holds Python objects; reading them could run foreign code")
        if (declared := dtype.itemsize * int(np.prod(shape, dtype=object))) != size:
            raise PackageError(f"{path}: {name!r} declares {declared} bytes in its header, but holds {size}")
        kind = _NUMPY.get(dtype.str.lstrip("<|="), torch.int64)
        stored[name] = StoredTensor(tuple(shape), kind, lambda member=member: _array(path, archive, member))  # type: ignore[misc]
    return stored


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Tensor:
    try:
        with archive.open(member) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except _DAMAGE as error:
        raise PackageError(f"{path}: {member.filename!r} is broken: {_first_line(error)}") from error
    if array.dtype.kind == "V":  # what numpy makes of bfloat16, which it does not know
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _check_ratio(path: Path, declared: int) -> None:
    if declared > _MAX_RATIO * path.stat().st_size:
        raise PackageError(f"{path}: a file of {path.stat().st_size} bytes declares {declared} bytes of content")


def _stripped(stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Without the names of what the network was wrapped in, in any order."""
    while stored and (shell := next((s for s in _SHELLS if all(name.startswith(s) for name in stored)), None)):
        stored = {name.removeprefix(shell): tensor for name, tensor in stored.items()}
    return dict(stored)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
