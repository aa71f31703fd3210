"""Owns where a checkpoint's files lie, and their integrity; does not read tensors by itself.

A source is one file, or a folder as timm and transformers put on the hub.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.checkpoints.read import StoredTensor, open_tensors
from app.checkpoints.shards import INDEXES, WHOLE, shards
from app.errors import PackageError
from app.package.config import CONFIG_NAME, file_sha256, read_json

_OPEN_CLIP: Final = "open_clip_pytorch_model.bin"
_SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin", ".npz")


@dataclass(frozen=True, slots=True)
class Files:
    """Weights that are not read yet, what the folder says of them, and a digest for each file."""

    tensors: Mapping[str, StoredTensor]
    config: Mapping[str, Any] | None  # config.json
    preprocessor: Mapping[str, Any] | None  # preprocessor_config.json
    class_indices: Mapping[str, Any] | None  # class_indices.json, which the tutorial writes
    sha256: Mapping[str, str]  # by file name


def open_files(source: Path) -> Files:
    """Opens a file or a folder.

    Raises PackageError if there are no weights, or several, or if a file named after its SHA-256 has another.
    """
    if source.is_file():
        return Files(open_tensors(source), None, None, None, {source.name: _digest(source)})
    if not source.is_dir():
        raise PackageError(f"{source}: there is no such file or folder")
    tensors, paths = _weights(source)
    return Files(
        tensors,
        _document(source / CONFIG_NAME),
        _document(source / "preprocessor_config.json"),
        _document(source / "class_indices.json"),
        {path.name: _digest(path) for path in paths},
    )


def _weights(folder: Path) -> tuple[dict[str, StoredTensor], list[Path]]:
    for whole, sharded in zip((*WHOLE, _OPEN_CLIP), (*INDEXES, ""), strict=True):
        if (folder / whole).is_file():
            return open_tensors(folder / whole), [folder / whole]
        if sharded and (folder / sharded).is_file():
            return _shards(folder / sharded)
    found = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    if len(found) == 1:
        return open_tensors(found[0]), found
    if not found:
        raise PackageError(f"{folder}: there are no weights in it, such as {', '.join(WHOLE)} or a .npz")
    names = ", ".join(path.name for path in found[:8])
    raise PackageError(f"{folder}: there are several files of weights in it ({names}); name one of them")


def _shards(index: Path) -> tuple[dict[str, StoredTensor], list[Path]]:
    """All tensors of a checkpoint in several files, by the index beside them."""
    where = shards(index)
    names = sorted(set(where.values()))
    if wrong := next((name for name in names if Path(name).name != name), None):
        raise PackageError(f"{index}: {wrong!r} is no file beside it")
    if absent := [name for name in names if not (index.parent / name).is_file()]:
        raise PackageError(f"{index}: {', '.join(absent)} is not there; is the download complete?")
    opened = {name: open_tensors(index.parent / name) for name in names}
    if lost := next((key for key, name in where.items() if key not in opened[name]), None):
        raise PackageError(f"{index}: {lost!r} is not in {where[lost]}")
    return {key: opened[name][key] for key, name in where.items()}, [index.parent / name for name in names]


def _document(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _digest(path: Path) -> str:
    """The file's SHA-256; checked if the file is named after it.

    As torch.hub does, `name-5f1d4a20.pth`, of 8 or all 64 digits, where decimal ones alone are taken for a date; or
    as the cache of a hub does, where the name links to the digest.
    """
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise PackageError(f"{path}: cannot be read: {error}") from error
    stated = re.fullmatch(r".*-(?=[0-9]*[a-f])([0-9a-f]{8}|[0-9a-f]{64})\.\w+", path.name)
    if stated is None and path.is_symlink():
        stated = re.fullmatch(r"([0-9a-f]{64})", path.readlink().name)
    if stated and not digest.startswith(stated[1]):
        raise PackageError(
            f"{path}: the name says that the SHA-256 begins with {stated[1]}, but it is {digest}: "
            "the download is broken, or it is another file"
        )
    return digest
