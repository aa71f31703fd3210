"""Owns the reading of numpy's archives, array by array; does not know what the arrays are for."""

import zipfile
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.checkpoints.stored import StoredTensor, check_count, check_ratio
from app.errors import PackageError

_TYPES: Final = {"f8": torch.float64, "f4": torch.float32, "f2": torch.float16, "V2": torch.bfloat16}
# What numpy and zipfile raise on members that are damaged, encrypted or packed by a method that Python lacks.
_DAMAGE: Final = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError)


def open_npz(path: Path) -> dict[str, StoredTensor]:
    """The arrays of an npz by name. Nothing in it is executed.

    Raises PackageError if a member is no array, holds Python objects, or declares more bytes than it has.
    """
    archive = zipfile.ZipFile(path)  # stays open, for the arrays are read later
    members = archive.infolist()
    check_count(path, len(members))
    check_ratio(path, sum(member.file_size for member in members))
    stored = {}
    for member in members:
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
        kind = _TYPES.get(dtype.str.lstrip("<|="), torch.int64)
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


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
