"""Owns where a checkpoint's files lie, and their integrity; does not read tensors by itself.

A source is one file, or a folder as timm and transformers put on the hub.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.checkpoints.kinds import ADAPTER, no_weights
from app.checkpoints.prefixes import bare_network
from app.checkpoints.read import Opened, StoredTensor, bare_names, open_as_named, open_file
from app.checkpoints.shards import ORDER, WHOLE, other_weights, shards
from app.errors import PackageError
from app.package.config import CONFIG_NAME, file_sha256, read_json


@dataclass(frozen=True, slots=True)
class Files:
    """Weights that are not read yet, what the folder says of them, and a digest for each file."""

    tensors: Mapping[str, StoredTensor]
    config: Mapping[str, Any] | None  # config.json
    preprocessor: Mapping[str, Any] | None  # preprocessor_config.json, or what newer transformers nest in another file
    class_indices: Mapping[str, Any] | None  # class_indices.json, which the tutorial writes
    sha256: Mapping[str, str]  # by file name
    remarks: tuple[str, ...] = ()  # how the network was found in them, where that was a choice


def open_files(source: Path) -> Files:
    """Opens a file or a folder.

    Raises PackageError if there are no weights, or several, or if a file named after its SHA-256 has another.
    """
    if source.is_file():
        tensors, remarks = _network(source, open_file(source), None)
        return Files(tensors, None, None, None, {source.name: _digest(source)}, remarks)
    if not source.is_dir():
        raise PackageError(f"{source}: there is no such file or folder")
    opened, paths = _weights(source)
    config = _document(source / CONFIG_NAME)
    tensors, remarks = _network(source, opened, config)
    if (source / ADAPTER).is_file():
        remarks = (*remarks, f"the adapter that {ADAPTER} describes is not applied; the weights must be merged with it")
    return Files(
        tensors,
        config,
        _preprocessor(source),
        _document(source / "class_indices.json"),
        {path.name: _digest(path) for path in paths},
        remarks,
    )


def _network(
    source: Path, opened: Opened, config: Mapping[str, Any] | None
) -> tuple[Mapping[str, StoredTensor], tuple[str, ...]]:
    """The network's tensors; where a library wrote the folder, the names are its own and stay."""
    if config is not None and ("architecture" in config or "model_type" in config):
        return opened.tensors, opened.remarks
    try:
        tensors, remarks = bare_network(opened.tensors)
    except PackageError as error:
        raise PackageError(f"{source}: {error}") from error
    return tensors, (*opened.remarks, *remarks)


def _weights(folder: Path) -> tuple[Opened, list[Path]]:
    """As transformers and timm choose among several; else the only file there is."""
    for whole, sharded in ORDER:
        if (folder / whole).is_file():
            return open_file(folder / whole), [folder / whole]
        if sharded and (folder / sharded).is_file():
            return _shards(folder / sharded)
    found = [folder / name for name in other_weights(path.name for path in folder.iterdir() if path.is_file())]
    if len(found) == 1:
        return open_file(found[0]), found
    if not found:
        raise PackageError(f"{folder}: {no_weights(folder, WHOLE)}")
    names = ", ".join(repr(path.name) for path in found[:8]) + (", …" if len(found) > 8 else "")
    raise PackageError(
        f"{folder}: there are several files of weights in it ({names}); "
        f"name one in place of the folder, such as {str(found[0])!r}"
    )


def _shards(index: Path) -> tuple[Opened, list[Path]]:
    """All tensors of a checkpoint in several files, by the index beside them."""
    where = shards(index)
    names = sorted(set(where.values()))
    if wrong := next((name for name in names if Path(name).name != name), None):
        raise PackageError(f"{index}: {wrong!r} is no file beside it")
    if absent := [name for name in names if not (index.parent / name).is_file()]:
        raise PackageError(f"{index}: {', '.join(map(repr, absent))} is not there; is the download complete?")
    opened = {name: open_as_named(index.parent / name).tensors for name in names}
    if lost := next((key for key, name in where.items() if key not in opened[name]), None):
        raise PackageError(f"{index}: {lost!r} is not in {where[lost]!r}")
    tensors = {key: opened[name][key] for key, name in where.items()}
    return Opened(bare_names(index, tensors)), [index.parent / name for name in names]


def _preprocessor(folder: Path) -> dict[str, Any] | None:
    """As transformers 5 takes it: what a processor of several kinds of input has for images goes first."""
    nested = (_document(folder / "processor_config.json") or {}).get("image_processor")
    return nested if isinstance(nested, dict) else _document(folder / "preprocessor_config.json")


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
