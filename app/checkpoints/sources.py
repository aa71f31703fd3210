"""Owns what `VIT_MODEL` may name and how each comes into memory; does not choose devices."""

from pathlib import Path
from typing import Final

import torch

from app.checkpoints.located import NOOP, RANDOM, find, from_hub, is_ours
from app.checkpoints.own import ModelPackage, NetworkPackage, load_package
from app.domain import PreprocessSpec
from app.errors import NotOurNetwork, PackageError
from app.network.vit import VisionTransformer
from app.package.preprocessing import check_pictures
from app.package.variants import variant

_SEED: Final = 20261123


def load_model(source: str, *, for_training: bool = False) -> ModelPackage:
    """Loads `embedded`, `hf-hub:owner/name[@revision]`, a package, a checkpoint or `random:<variant>` .

    One with a dead head is a start `for_training`, and cannot classify.
    Raises PackageError, HubError or UnknownVariant.
    """
    if source == NOOP:
        raise PackageError("noop has no network: it is for measuring a server without one")
    kind, _, rest = source.partition(":")
    if kind == RANDOM:
        return _random(rest)
    path, snapshot = find(source)
    try:
        package = _load(path, for_training)
    except NotOurNetwork as refusal:
        from app.checkpoints.providers.load import needs_ours

        raise needs_ours(path, refusal) from refusal
    return from_hub(package, snapshot) if snapshot else package


def load_servable(source: str) -> NetworkPackage:
    """As `load_model`, and what our network cannot be as the library builds it that the files are of. Raises as it."""
    if source == NOOP or source.startswith(f"{RANDOM}:"):
        return load_model(source)
    path, snapshot = find(source)
    try:
        package: NetworkPackage = _load(path, for_training=False)
    except NotOurNetwork as refusal:
        from app.checkpoints.providers.load import load_by_library

        package = load_by_library(path, refusal)
    check_pictures(package.preprocess)
    return from_hub(package, snapshot) if snapshot else package


def _load(path: Path, for_training: bool) -> ModelPackage:
    if is_ours(path):
        return load_package(path, for_training=for_training)
    # Here: the start of our own models must not wait for it.
    from app.checkpoints.load import ConvertOptions, load_checkpoint

    return load_checkpoint(path, ConvertOptions(for_training=for_training))


def _random(name: str) -> ModelPackage:
    network = VisionTransformer(variant(name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network.init_weights()
    config = network.config
    return ModelPackage(
        name=f"random:{name}",
        architecture=name,
        network=network.eval().requires_grad_(False),
        labels=tuple(f"class_{i}" for i in range(config.num_classes)),
        preprocess=PreprocessSpec(*config.img_size),
        sha256=None,
        notice="random weights: the scores mean nothing",
    )
