"""Owns what a model package says of itself, all but its tensors; does not read those."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from app.domain import Activation, PreprocessSpec, Scoring
from app.errors import PackageError, UnknownVariant
from app.package.config import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    file_sha256,
    own_object,
    parse_config,
    pretrained_cfg,
    read_json,
)
from app.package.values import mapping, number, one_of
from app.package.variants import ViTConfig


@dataclass(frozen=True, slots=True)
class PackageDescription:
    """All that is needed to serve a network, but the network."""

    name: str
    architecture: str
    labels: tuple[str, ...] = field(repr=False)
    preprocess: PreprocessSpec
    sha256: str | None
    temperature: float = 1.0  # logits are divided by it before the activation; fitted on validation data
    threshold: float | None = (
        None  # least best score of answers that are right in 95 % of the cases; see training/report
    )
    notice: str | None = None  # said with every answer where the weights are not trained ones
    label_ids: tuple[str, ...] = field(default=(), repr=False)  # WordNet's, where the labels are ImageNet's
    source: str | None = None  # hf-hub:owner/name@commit, where they came from there
    activation: Activation = "softmax"
    convolutional: bool = False  # of more than one layer: then a pixel that is off by one moves the scores visibly

    @property
    def scoring(self) -> Scoring:
        """How logits become scores."""
        return Scoring(self.activation, self.temperature)


def read_description(directory: Path) -> tuple[PackageDescription, ViTConfig]:
    """Reads and checks a package but for its tensors, and says which shape those must have.

    Raises PackageError that names the file and, where it applies, the key.
    """
    config_path, weights_path = directory / CONFIG_NAME, directory / WEIGHTS_NAME
    for path in (config_path, weights_path):
        if not path.is_file():
            raise PackageError(f"{path}: there is no such file; a model package holds {CONFIG_NAME} and {WEIGHTS_NAME}")
    config = read_json(config_path)
    try:
        architecture, vit_config, labels, spec = parse_config(config)
        own = mapping(config.get("vit_serve", {}), "vit_serve")
        scoring, threshold = _scoring(own, own_object(config, "calibration"))
    except (TypeError, ValueError, UnknownVariant) as error:
        raise PackageError(f"{config_path}: {error}") from error
    try:
        sha256 = file_sha256(weights_path)
        if own.get("sha256", sha256) != sha256:
            raise PackageError(f"{weights_path}: SHA-256 is {sha256}, but {config_path} says {own['sha256']}")
    except OSError as error:
        raise PackageError(f"{weights_path}: cannot be read: {error}") from error
    tag = pretrained_cfg(config).get("tag")
    description = PackageDescription(
        name=f"{architecture}.{tag}" if tag else architecture,
        architecture=architecture,
        labels=labels.names,
        preprocess=spec,
        sha256=sha256,
        temperature=scoring.temperature,
        threshold=threshold,
        label_ids=labels.ids,
        source=str(own["source"]) if own.get("source") else None,
        activation=scoring.activation,
        convolutional=vit_config.backbone_layers is not None,
    )
    return description, vit_config


def _scoring(own: Mapping[str, Any], calibration: Mapping[str, Any]) -> tuple[Scoring, float | None]:
    """How logits become scores, and the threshold. Raises ValueError."""
    activation = one_of(own.get("activation", "softmax"), get_args(Activation), "vit_serve.activation")
    temperature = number(calibration.get("temperature", 1.0), "temperature")
    if temperature <= 0:
        raise ValueError(f"the calibration temperature is {temperature}; it must be positive")
    threshold = calibration.get("threshold")
    if threshold is not None and not 0 <= number(threshold, "threshold") <= 1:
        raise ValueError(f"the calibration threshold is {threshold}; it must be from 0 to 1")
    if activation == "none" and (temperature != 1 or threshold is not None):
        raise ValueError("vit_serve.activation is 'none', so the calibration can have no threshold or temperature")
    return Scoring(activation, temperature), threshold
