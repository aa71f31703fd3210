"""Owns what a network is made of: layers, shapes, parameters, multiplications; does not print, and needs no weights."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from app.insight.attention import attend
from app.network.block import Block
from app.network.hybrid import ResNet
from app.network.vit import PatchEmbed, VisionTransformer
from app.package.variants import ViTConfig

_HOLDERS: Final = (nn.Sequential, PatchEmbed, ResNet, Block)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, or `count` equal ones of successive blocks; parameters and MACs are those of all of them together.

    `shape` is that of one image's output, without the batch. MACs are multiply-accumulate operations.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int
    macs: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Summary:
    """A network's layers in the order of the forward pass, and the totals for one image.

    `macs` counts convolutions, linear layers and both products of attention, nothing else (norms, softmax, GELU), as
    published figures do. `served_macs` is what serving computes: of its last block only what the head reads.
    """

    layers: tuple[Layer, ...]
    parameters: int
    macs: int
    served_macs: int


def summarise(config: ViTConfig) -> Summary:
    """Runs a network of that shape without memory for its numbers (PyTorch's meta device), and counts."""
    with torch.device("meta"):
        network = VisionTransformer(config).eval()
        images = torch.empty(1, config.in_chans, *config.img_size)
    with torch.inference_mode(), FlopCounterMode(display=False) as served:
        network(images)
    counter = FlopCounterMode(display=False)
    layers: dict[str, Layer] = {}
    for name, part in _parts(network):
        _watch(name, part, counter, layers)
    with torch.inference_mode(), counter:
        network.forward_head(attend(network, images, lambda _: None))
    found = [layer for layer in layers.values() if layer.parameters or layer.macs]
    own = [Layer(name, _without_batch(p), p.numel()) for name, p in network.named_parameters(recurse=False)]
    patches = sum(layer.name.startswith("patch_embed.") for layer in found)  # they come first
    return Summary(
        layers=tuple(_fold([*found[:patches], *own, *found[patches:]])),
        parameters=_size(network),
        macs=counter.get_total_flops() // 2,
        served_macs=served.get_total_flops() // 2,
    )


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """What gets a line: the network's parts, and instead of those that only hold others what they hold."""
    for name, part in module.named_children():
        if isinstance(part, _HOLDERS):
            yield from _parts(part, f"{prefix}{name}.")
        else:
            yield prefix + name, part


def _watch(name: str, part: nn.Module, counter: FlopCounterMode, layers: dict[str, Layer]) -> None:
    """Enters the part into `layers` when it runs."""
    before = 0

    def enter(*_: object) -> None:
        nonlocal before
        before = counter.get_total_flops()

    def leave(_: nn.Module, __: object, output: Tensor) -> None:
        layers[name] = Layer(name, _without_batch(output), _size(part), (counter.get_total_flops() - before) // 2)

    part.register_forward_pre_hook(enter)
    part.register_forward_hook(leave)


def _without_batch(x: Tensor) -> tuple[int, ...]:
    """The shape of one image's; tables that differ by layer stand where the batch would be, and are counted."""
    return tuple(x.shape[1:] if x.shape[0] == 1 else x.shape)


def _fold(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Equal blocks in a row become one: `blocks.0.mlp` and `blocks.1.mlp` → `blocks.0-1.mlp`, twice."""
    blocks = [list(block) for _, block in groupby(layers, lambda layer: layer.name.rpartition(".")[0] or layer.name)]
    for parts, group in groupby(blocks, lambda block: [replace(x, name=x.name.rpartition(".")[2]) for x in block]):
        equal = list(group)
        if len(equal) == 1:
            yield from equal[0]
            continue
        first, last = (block[0].name.split(".")[1] for block in (equal[0], equal[-1]))
        for part in parts:
            yield Layer(
                name=f"blocks.{first}-{last}.{part.name}",
                shape=part.shape,
                parameters=part.parameters * len(equal),
                macs=part.macs * len(equal),
                count=len(equal),
            )


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
