"""Owns the way from a folder that our network cannot be to a package of its library; does not build networks."""

import logging
import re
from pathlib import Path
from typing import Final

from app.checkpoints.folder import open_files
from app.checkpoints.hub import offline
from app.checkpoints.own import NetworkPackage
from app.checkpoints.providers.extras import is_installed, missing
from app.checkpoints.providers.seam import Provider, first_line, proven
from app.checkpoints.providers.timm import Timm
from app.checkpoints.providers.transformers import Transformers
from app.checkpoints.sidecars import activation_of, stated_activation
from app.errors import NotOurNetwork, PackageError
from app.package.config import CONFIG_NAME, read_json
from app.package.labels.choose import choose_labels

logger = logging.getLogger(__name__)
_PROVIDERS: Final[tuple[Provider, ...]] = (Timm(), Transformers())


def load_by_library(folder: Path, refusal: NotOurNetwork) -> NetworkPackage:
    """What our network cannot be, for the reason in `refusal`, as the library builds it that its config.json is of.

    Raises PackageError: the refusal where no library is named; how to install one that is not there.
    """
    provider, name = _named(folder, refusal)
    if not is_installed(provider.library):
        raise missing(provider.library, f"{folder}: the network {ascii(name)}") from refusal
    try:
        return _loaded(folder, provider)
    except (PackageError, ValueError, TypeError) as error:
        raise PackageError(f"{folder}: {error}") from error


def needs_ours(folder: Path, refusal: NotOurNetwork) -> NotOurNetwork:
    """What to say where only our own network will do."""
    try:
        provider, name = _named(folder, refusal)
    except NotOurNetwork:
        return refusal
    reason = str(refusal).removeprefix(f"{folder}: ")
    return NotOurNetwork(
        f"{folder}: `serve`, `classify` and `evaluate` run {ascii(name)} by {provider.library}, but this needs our own "
        f"network, which it is not: {reason}"
    )


def _named(folder: Path, refusal: NotOurNetwork) -> tuple[Provider, str]:
    """The library whose configuration lies there, and its network's name. Raises the refusal where there is none."""
    config = read_json(folder / CONFIG_NAME) if (folder / CONFIG_NAME).is_file() else {}
    for provider in _PROVIDERS:
        if (name := provider.network_name(config)) is not None:
            return provider, name
    raise refusal


def _loaded(folder: Path, provider: Provider) -> NetworkPackage:
    files = open_files(folder)
    try:
        with offline():
            provided = provider.provide(folder, files)
    except ImportError as error:  # the library is there, but not what it needs
        raise PackageError(f"{provider.library} cannot be imported: {first_line(error)}") from error
    network, classes = proven(provided)
    for remark in (*files.remarks, *provided.remarks):
        logger.warning("%s: %s", folder, remark)
    labels = choose_labels(files.config or {}, classes, files.class_indices)
    tag = provided.tag or re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-")
    return NetworkPackage(
        name=f"{provided.architecture}.{tag}",
        architecture=provided.architecture,
        network=network,
        labels=labels.names,
        label_ids=labels.ids,
        preprocess=provided.preprocess,
        sha256=next(iter(files.sha256.values())) if len(files.sha256) == 1 else None,
        activation=activation_of(stated_activation(files.config or {}), classes),
        convolutional=True,  # most are, and what is not knows of no other decoder than Pillow
    )
