"""Owns a model's network as torch computes it in the service; does not run it."""

import torch

from app.checkpoints.sources import load_model
from app.domain import PreprocessSpec
from app.engine.runners.device import choose_device, to_precision
from app.network.fold import fold_normalisation
from app.network.vit import VisionTransformer


def as_served(
    model: str, device: str, precision: str
) -> tuple[VisionTransformer, PreprocessSpec, torch.device, torch.dtype]:
    """Device and number format as the options of the same names say."""
    package, chosen = load_model(model), choose_device(device)
    fold_normalisation(package.network, package.preprocess)
    network, dtype = to_precision(precision, package.network, package.preprocess, chosen, package.scoring)
    assert isinstance(network, VisionTransformer)  # benchmarks are of our own
    return network, package.preprocess, chosen, dtype
