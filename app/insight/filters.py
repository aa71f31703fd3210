"""Owns the principal components of the filters that see pixels; does not draw."""

import torch
from torch import Tensor, nn

from app.network.hybrid import StdConv2d
from app.network.vit import VisionTransformer


def pixel_filters(network: VisionTransformer) -> tuple[str, Tensor]:
    """Name and weights (filters, C, height, width), as they are used, of the convolution that sees the image itself."""
    name, first = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    return name, first.standardised_weight() if isinstance(first, StdConv2d) else first.weight


def principal_components(weight: Tensor, count: int = 28) -> tuple[Tensor, Tensor]:
    """The directions in which the filters differ most (paper Fig. 7, left), and each one's share of the variance.

    (filters, C, height, width) → (n, height, width, C), each scaled to 0 … 1; and (n,). There are fewer than `count`
    where filters or their pixels are few. The sign of a component is free; here the entry of largest size is positive.
    """
    centred = weight.flatten(1).double()
    centred = centred - centred.mean(dim=0)
    _, scales, directions = torch.linalg.svd(centred, full_matrices=False)
    n = min(count, len(weight) - 1, len(scales))  # centring takes one dimension away
    variance = scales.square()
    shares = variance[:n] / variance.sum().clamp_min(torch.finfo(variance.dtype).tiny)
    return _shown(directions[:n].unflatten(1, weight.shape[1:])), shares.float()


def whitening_filters(weight: Tensor) -> Tensor | None:
    """The filters themselves, where each is there with both signs: those that a stem's training takes from its images.

    (2n, C, height, width) → (n, height, width, C), each scaled to 0 … 1. They are principal components already, and
    all of one length, so that their own components would be arbitrary.
    """
    first, second = weight[: len(weight) // 2], weight[len(weight) // 2 :]
    return _shown(first.double()) if torch.equal(first, -second) else None


def _shown(filters: Tensor) -> Tensor:
    """(n, C, height, width) → (n, height, width, C), each scaled to 0 … 1, its entry of largest size positive."""
    components = filters.flatten(1)
    components = components * components.gather(1, components.abs().argmax(dim=1, keepdim=True)).sign()
    low, high = components.amin(dim=1, keepdim=True), components.amax(dim=1, keepdim=True)
    scaled = (components - low) / (high - low).clamp_min(1e-12)
    pictures: Tensor = scaled.unflatten(1, filters.shape[1:]).permute(0, 2, 3, 1).float()
    return pictures
