"""Owns which libraries are installed and how one gets those that are not; does not import them."""

import importlib.metadata
import importlib.util

from app.errors import PackageError


def is_installed(library: str) -> bool:
    """Whether it can be imported here; a folder that happens to have its name is none."""
    spec = importlib.util.find_spec(library)
    return spec is not None and spec.origin is not None


def version_of(library: str) -> str:
    """Of what is installed; empty where it is not. What it builds may change with it."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def missing(library: str, what: str) -> PackageError:
    """What to say where `what` needs a library that is not installed.

    torch stays as it is: by itself pip would take a newer one for timm's torchvision, and gigabytes of CUDA with it.
    """
    torch, _, _ = version_of("torch").partition("+")
    command = f"pip install 'vit-serve[{library}]'" + (f" torch=={torch}" if torch else "")
    return PackageError(f"{what} needs {library}, which is not installed here: {command}")
