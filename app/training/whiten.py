"""Owns the first filters of a convolutional stem, which are taken from the images; does not train."""

import torch
import torch.nn.functional as F
from torch import Tensor

from app.network.stem import ConvStem
from app.network.vit import VisionTransformer

_AT_ONCE = 64  # images; their patches take nine times their memory


def fix_entry(network: VisionTransformer) -> None:
    """Takes the filters that `whiten` sets out of training; does nothing to a network without a stem."""
    if isinstance(stem := network.patch_embed.stem, ConvStem):
        stem.entry.conv.requires_grad_(False)


@torch.no_grad()
def whiten(network: VisionTransformer, images: Tensor) -> None:
    """Sets a stem's first filters to the principal components of the images' patches, each with both signs.

    images: (n, C, H, W), normalised; their mean is not taken away, for the filters meet it in service too. Behind
    them stands a normalisation, which gives every component the same variance. Such a layer needs no learning, and
    all that follows learns faster (Jordan, arXiv 2404.00498).
    """
    if not isinstance(stem := network.patch_embed.stem, ConvStem):
        return
    weight = stem.entry.conv.weight
    count, channels, height, width = weight.shape
    patches = (F.unfold(part, (height, width)) for part in images.split(_AT_ONCE))
    products = torch.stack([(part @ part.transpose(1, 2)).sum(dim=0) for part in patches]).sum(dim=0)
    components = torch.linalg.eigh(products).eigenvectors.flip(1).T  # the strongest first
    half = components[: count // 2].reshape(-1, channels, height, width)
    weight[: 2 * len(half)] = torch.cat([half, -half])
