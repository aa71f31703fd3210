"""Owns what a name of a model leads to, as far as it can be told without reading tensors; imports no torch."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from app.checkpoints import hub
from app.checkpoints.providers import timm_names
from app.checkpoints.providers.extras import version_of
from app.errors import PackageError
from app.package.config import CONFIG_NAME, EMBEDDED, file_sha256, read_json
from app.package.description import PackageDescription, read_description
from app.package.parameters import count_parameters
from app.package.variants import ViTConfig, variant
from app.version import VERSION

NOOP: Final = "noop"
RANDOM: Final = "random"
# What whoever reads checkpoints takes of a folder.
_READ: Final = (".json", ".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz")

Described = TypeVar("Described", bound=PackageDescription)


@dataclass(frozen=True, slots=True)
class Located:
    """Where a model is. `key` changes with everything that its network computes; `name` leads to just this one."""

    name: str  # what `load_model` takes; of a hub's repository with its commit
    key: str
    directory: Path | None = None  # of a package of ours
    description: PackageDescription | None = None  # of a package of ours
    parameters: int = 0


def locate(source: str) -> Located:
    """Finds, and fetches from a hub, what `load_model` would read. Raises PackageError, HubError or UnknownVariant."""
    kind, _, rest = source.partition(":")
    if kind == RANDOM:
        variant(rest)  # that there is one
        return Located(source, _digest(source, VERSION))
    path, snapshot = find(source)
    try:
        located = _located(path, snapshot.source if snapshot else source)
    except OSError as error:
        raise PackageError(f"{source}: cannot be read: {error.strerror or error}") from error
    if snapshot and located.description:
        return replace(located, description=from_hub(located.description, snapshot))
    return located


def find(source: str) -> tuple[Path, hub.Snapshot | None]:
    """The file or folder that a name leads to, fetched from a hub where it says so. Raises PackageError or HubError."""
    if source == "embedded":
        return EMBEDDED, None
    if source.startswith(f"{hub.SCHEME}:"):
        snapshot = hub.download(source.partition(":")[2])
        return snapshot.path, snapshot
    if source.startswith(f"{timm_names.SCHEME}:"):
        snapshot = timm_names.download(source.partition(":")[2])
        return snapshot.path, snapshot
    path = Path(source).expanduser()
    try:
        if path.exists():
            return path, None
    except OSError as error:  # of a folder that may not be entered
        raise PackageError(f"{source}: cannot be read: {error.strerror or error}") from error
    raise PackageError(
        f"{source!r} is neither `embedded`, `noop`, `random:<variant>`, `{hub.SCHEME}:owner/name`, "
        f"`{timm_names.SCHEME}:name` nor a file or folder"
    )


def is_ours(path: Path) -> bool:
    """What we wrote says so in its configuration; anything else, timm's hub layout too, is a foreign checkpoint."""
    config = path / CONFIG_NAME
    return config.is_file() and "vit_serve" in read_json(config)


def from_hub(package: Described, snapshot: hub.Snapshot) -> Described:
    """The package as that of its repository; on disk it is called by its commit."""
    name = package.name.replace(snapshot.path.name, snapshot.repository.rpartition("/")[2])
    return replace(package, name=name, source=snapshot.source)


def graph_key(description: PackageDescription, shape: ViTConfig) -> str:
    """Of a package of ours: the same as long as the same pixels give the same logits."""
    usual = asdict(ViTConfig())  # left out, so that a field that comes to be changes no key
    facts = {name: value for name, value in asdict(shape).items() if value != usual[name]}
    return _digest(description.sha256 or "", json.dumps([facts, asdict(description.preprocess)]))


def _located(path: Path, name: str) -> Located:
    if is_ours(path):
        description, shape = read_description(path)
        return Located(name, graph_key(description, shape), path, description, count_parameters(shape))
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix in _READ and p.is_file())
    own = path.resolve().name  # from which a foreign checkpoint takes its name, and whose preprocessing it needs
    libraries = [version_of(library) for library in ("timm", "transformers")] if path.is_dir() else []
    return Located(name, _digest(own, *(f"{file.name} {file_sha256(file)}" for file in files), VERSION, *libraries))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
