"""Owns what `VIT_MODEL` may name and how each comes into memory; does not choose devices."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from app.checkpoints import hub
from app.checkpoints.own import ModelPackage, load_package
from app.domain import PreprocessSpec
from app.errors import PackageError
from app.network.vit import VisionTransformer
from app.package.config import CONFIG_NAME, read_json
from app.package.variants import ViTConfig, variant

EMBEDDED: Final = Path(__file__).parents[1] / "package" / "pretrained"
_SEED: Final = 20261123


class NoForward(VisionTransformer):
    """Answers every image with the same logits at once: what remains of the time is decoding, queue and HTTP."""

    def __init__(self) -> None:
        super().__init__(ViTConfig(patch_size=224, embed_dim=1, depth=1, num_heads=1))
        self._modules.clear()  # no layer is ever called, so none is kept or counted
        self._parameters.clear()
        self.register_buffer("logits", torch.linspace(0, 8, self.config.num_classes), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, classes), the same row for every image."""
        logits: Tensor = self.get_buffer("logits")
        return logits.expand(x.shape[0], -1)


def load_model(source: str, *, for_training: bool = False) -> ModelPackage:
    """Loads `embedded`, `hf-hub:owner/name[@revision]`, a package, a checkpoint, `random:<variant>` or `noop`.

    One with a dead head is a start `for_training`, and cannot classify.
    Raises PackageError, HubError or UnknownVariant.
    """
    if source == "embedded":
        return load_package(EMBEDDED)
    if source == "noop":
        return _untrained("noop", NoForward(), "noop: no forward pass was made, the answer is always the same")
    kind, _, rest = source.partition(":")
    if kind == "random":
        return _random(rest)
    if kind == hub.SCHEME:
        snapshot = hub.download(rest)
        return from_hub(_load(snapshot.path, for_training), snapshot)
    path = Path(source).expanduser()
    try:
        if path.exists():
            return _load(path, for_training)
    except OSError as error:  # of a folder that may not be entered
        raise PackageError(f"{source}: cannot be read: {error.strerror or error}") from error
    raise PackageError(
        f"{source!r} is neither `embedded`, `noop`, `random:<variant>`, `{hub.SCHEME}:owner/name` nor a file or folder"
    )


def from_hub(package: ModelPackage, snapshot: hub.Snapshot) -> ModelPackage:
    """The package as that of its repository; on disk it is called by its commit."""
    name = package.name.replace(snapshot.path.name, snapshot.repository.rpartition("/")[2])
    return replace(package, name=name, source=snapshot.source)


def _load(path: Path, for_training: bool) -> ModelPackage:
    """What we wrote says so in its configuration; anything else, timm's hub layout too, is a foreign checkpoint."""
    config = path / CONFIG_NAME
    if config.is_file() and "vit_serve" in read_json(config):
        return load_package(path, for_training=for_training)
    # Here: the start of our own models must not wait for it.
    from app.checkpoints.load import ConvertOptions, load_checkpoint

    return load_checkpoint(path, ConvertOptions(for_training=for_training))


def _random(name: str) -> ModelPackage:
    network = VisionTransformer(variant(name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network.init_weights()
    return _untrained(name, network, "random weights: the scores mean nothing")


def _untrained(name: str, network: VisionTransformer, notice: str) -> ModelPackage:
    config = network.config
    return ModelPackage(
        name=name if name == "noop" else f"random:{name}",
        architecture=name,
        network=network.eval().requires_grad_(False),
        labels=tuple(f"class_{i}" for i in range(config.num_classes)),
        preprocess=PreprocessSpec(*config.img_size),
        sha256=None,
        notice=notice,
    )
