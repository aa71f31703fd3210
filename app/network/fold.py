"""Owns the folding of what costs time into weights, once, before serving; does not normalise by itself."""

from typing import Final

import torch
from torch import nn

from app.domain import PreprocessSpec
from app.network.hybrid import standardise
from app.network.library import LibraryNetwork, Network
from app.network.norm import ConvNorm
from app.network.position import AxisTables
from app.network.vit import VisionTransformer

# Pixels minus this are integers of at most 8 bits, exact in every number format, and nearly centred.
PIXEL_OFFSET: Final = 128.0


@torch.no_grad()
def fold_normalisation(network: Network, spec: PreprocessSpec) -> None:
    """Rewrites the first convolution, in place, to take pixels (0 … 255) minus PIXEL_OFFSET.

    W·(p / 255 - mean) / std + b = W'·(p - 128) + b' with W' = W / (255·std) and b' = b + Σ W'·(128 - 255·mean):
    exact, where there is no padding; and better rounded than normalised values in bfloat16, because
    the input is not rounded at all. It saves most of what preparing a batch costs. A hybrid and a convolutional stem
    are padded with zeros, which stand for the mean colour: to their input the remainder 128 - 255·mean is added
    instead; of packages trained here only the paper's hybrids have one. Batch normalisations, standardised weights and
    2-D position tables, too, are computed once and for all. Of another library's network nothing is rewritten: it
    normalises what it is given. A network of grey images, which come as three equal colours, looks at the first.
    """
    if isinstance(network, LibraryNetwork):
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (spec.mean, spec.std))
        network.take_pixels(mean, std, PIXEL_OFFSET)
        return
    standardise(network)
    for layer in network.modules():
        if isinstance(layer, ConvNorm):
            layer.fuse()
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    assert first is not None
    if isinstance(network.pos_embed, AxisTables):
        network.pos_embed = nn.Parameter(network.pos_embed(), requires_grad=False)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (spec.mean, spec.std))
    weight = first.weight.double() / (255 * std)
    remainder = PIXEL_OFFSET - 255 * mean
    if first.padding != (0, 0):
        network.patch_embed.input_shift = remainder.to(first.weight.dtype) if remainder.abs().max() > 1e-3 else None
    else:
        if first.bias is None:  # as before CLIP's norm
            first.bias = nn.Parameter(first.weight.new_zeros(len(first.weight)), requires_grad=False)
        first.bias.copy_(first.bias.double() + (weight * remainder).sum(dim=(1, 2, 3)))
    first.weight.copy_(weight)
    if spec.channels == 1:
        _look_at_first_colour(network, first)


def _look_at_first_colour(network: VisionTransformer, first: nn.Conv2d) -> None:
    others = first.weight.new_zeros(len(first.weight), 2, *first.kernel_size)
    first.weight = nn.Parameter(torch.cat([first.weight, others], dim=1), requires_grad=first.weight.requires_grad)
    first.in_channels = network.patch_embed.in_chans = 3
