"""Owns the safe reading of foreign weight files, tensor by tensor; does not know what the tensors are for."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open

from app.checkpoints.arrays import open_npz
from app.checkpoints.kinds import START_BYTES, check_archive, other_kind
from app.checkpoints.pickles import open_pickle
from app.checkpoints.stored import Opened, StoredTensor, check_count
from app.errors import PackageError

__all__ = ["Opened", "StoredTensor", "bare_names", "open_as_named", "open_file", "open_tensors"]

_TYPES: Final = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# DistributedDataParallel's, torch.compile's, and of transformers' wrapper for timm's networks.
_SHELLS: Final = ("module.", "_orig_mod.", "timm_model.")
# What torch.compile, FSDP, activation checkpointing and Fabric put between a module's name and its parameters'.
_INNER_SHELLS: Final = re.compile(
    r"(?<=\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
)


def open_tensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of `open_file`, by key. Raises PackageError."""
    return dict(open_file(path).tensors)


def open_file(path: Path) -> Opened:
    """What the file holds, without the names of what the network was wrapped in. Nothing in it is executed.

    Raises what `open_as_named` raises.
    """
    opened = open_as_named(path)
    return Opened(bare_names(path, opened.tensors), opened.remarks)


def open_as_named(path: Path) -> Opened:
    """What the file holds; the kind of file is told from its first bytes.

    Raises PackageError if it is none of safetensors, npz, a torch checkpoint; if it is broken, or holds anything
    else than floating-point tensors where those are due; or if it declares more bytes than it has.
    """
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
        if start[8:9] == b"{":
            return Opened(_safetensors(path))
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
            if any(member.filename.endswith(".npy") for member in members):
                return Opened(open_npz(path))
            check_archive(path, members)
            return open_pickle(path, members)
        if start.startswith(b"\x80"):
            return open_pickle(path)
    except (OSError, zipfile.BadZipFile, SafetensorError) as error:
        raise PackageError(f"{path}: cannot be read: {error}") from error
    raise PackageError(f"{path}: {other_kind(path, start) or 'neither a safetensors, nor an npz, nor a PyTorch file'}")


def _safetensors(path: Path) -> dict[str, StoredTensor]:
    file: Any = safe_open(path, framework="pt")  # stays open: the tensors are views of the mapped file
    names = file.keys()
    check_count(path, len(names))
    stored = {}
    for name in names:
        header = file.get_slice(name)
        dtype = _TYPES.get(header.get_dtype(), torch.int64)
        stored[name] = StoredTensor(tuple(header.get_shape()), dtype, lambda name=name: file.get_tensor(name))  # type: ignore[misc]
    return stored


def bare_names(path: Path, stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Without the names of what the network was wrapped in, in any order.

    Raises PackageError if two keys would be one.
    """
    while stored and (shell := next((s for s in _SHELLS if all(name.startswith(s) for name in stored)), None)):
        stored = {name.removeprefix(shell): tensor for name, tensor in stored.items()}
    bare = {_INNER_SHELLS.sub("", name): tensor for name, tensor in stored.items()}
    if len(bare) < len(stored):
        raise PackageError(f"{path}: two of its keys differ only by what torch.compile or FSDP puts into names")
    return bare
