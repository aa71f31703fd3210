"""Owns a folder of graphs: a network as OpenVINO reads it, and proof that it is whole; does not compute.

manifest.json       format, versions, digests of the files, and what was measured when they were made
float32.xml, .bin   the network: uint8 (batch, height, width, 3) in, logits (batch, classes) out
int8.xml, .bin      the same quantised, where `vit-serve quantize` found that it holds
probes.safetensors  a few pictures, and the logits that each graph gave where it was made
description.json    in a cache only, where the model's own files are not read: what serving must know of it
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from app.domain import PreprocessSpec
from app.errors import PackageError
from app.package.config import file_sha256, read_json
from app.package.description import PackageDescription

GRAPHS_NAME: Final = "openvino"  # of the folder in a model package
MANIFEST_NAME: Final = "manifest.json"
PROBES_NAME: Final = "probes.safetensors"
_DESCRIPTION_NAME: Final = "description.json"
FORMAT: Final = 1  # to be raised when graphs made before are no longer right

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


class OtherFormat(PackageError):
    """Graphs that another version of vit-serve made; nothing is wrong with them."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """Paths of graphs by number format, "float32" or "int8"; probes (n, height, width, 3) and their logits alike."""

    paths: Mapping[str, Path]
    probes: Pixels
    logits: Mapping[str, Logits]  # by number format, (n, classes)
    made_of: str  # the key of the model: of a package the SHA-256 of its weights


def write_probes(directory: Path, probes: Pixels, logits: Mapping[str, Logits]) -> None:
    """Raises OSError."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "pixels": probes,
        **{f"logits.{name}": each for name, each in logits.items()},
    }
    try:
        save_file(arrays, directory / PROBES_NAME)
    except SafetensorError as error:  # a full disk, too
        raise OSError(str(error)) from error
    (directory / PROBES_NAME).chmod(0o644)


def write_manifest(directory: Path, made_of: str, versions: Mapping[str, str]) -> None:
    """The last file to be written: it vouches for all others in the folder. Raises OSError."""
    files = sorted(path for path in directory.iterdir() if path.name != MANIFEST_NAME)
    document = {
        "format": FORMAT,
        "made_of": made_of,
        "versions": dict(versions),
        "sha256": {path.name: file_sha256(path) for path in files},
    }
    (directory / MANIFEST_NAME).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_graphs(directory: Path, made_of: str) -> Graphs:
    """Opens a folder and checks every byte of it.

    Raises PackageError that names the file if one is damaged, missing or of another model, and OtherFormat.
    """
    path = directory / MANIFEST_NAME
    try:
        manifest = read_json(path)
        if manifest.get("format") != FORMAT:
            raise OtherFormat(f"{path}: graphs of format {manifest.get('format')!r}, but this version reads {FORMAT}")
        if manifest.get("made_of") != made_of:
            raise PackageError(f"{path}: these graphs were made of another model, of {manifest.get('made_of')!r}")
        digests = manifest.get("sha256")
        if not isinstance(digests, dict):
            raise PackageError(f"{path}: there are no digests in it")
        for name, sha256 in digests.items():
            if Path(name).name != name or file_sha256(directory / name) != sha256:
                raise PackageError(f"{directory / name}: is damaged, its SHA-256 is not the one in {MANIFEST_NAME}")
        stored = load_file(directory / PROBES_NAME)
    except (OSError, ValueError, SafetensorError) as error:  # ValueError: of names that no file can have
        raise PackageError(f"{directory}: the graphs cannot be read: {error}") from error
    names = [name.removeprefix("logits.") for name in stored if name != "pixels"]
    paths = {name: directory / f"{name}.xml" for name in names}
    if "pixels" not in stored or not all(file in digests for n in names for file in (f"{n}.xml", f"{n}.bin")):
        raise PackageError(f"{directory}: a graph or its probes are missing")
    return Graphs(paths, stored["pixels"], {name: stored[f"logits.{name}"] for name in names}, made_of)


def write_description(directory: Path, description: PackageDescription, parameters: int) -> None:
    """Raises OSError."""
    document = {**asdict(description), "parameters": parameters}
    (directory / _DESCRIPTION_NAME).write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")


def read_description(directory: Path) -> tuple[PackageDescription, int]:
    """What `write_description` wrote: the description and the number of parameters. Raises PackageError."""
    path = directory / _DESCRIPTION_NAME
    try:
        document = read_json(path)
        parameters = int(document.pop("parameters"))
        spec = PreprocessSpec(**{name: _frozen(value) for name, value in document.pop("preprocess").items()})
        description = PackageDescription(**{n: _frozen(v) for n, v in document.items()}, preprocess=spec)
        return description, parameters
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise PackageError(f"{path}: is no description of a model: {error!r}") from error


def _frozen(value: Any) -> Any:
    """JSON has lists only."""
    return tuple(value) if isinstance(value, list) else value
