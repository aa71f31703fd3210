"""Owns the order in which a CPU's kernels want weights; does not change what is computed."""

from typing import Any

import torch
from torch import Tensor, nn

from app.network.efficientnet import EfficientNetLite, LiteLayer
from app.network.hybrid import SameConv2d, pad_as_same
from app.network.precision import computes_in_bfloat16
from app.network.stem import ConvStem, StemLayer
from app.network.vit import Block, VisionTransformer


def pack_weights(network: VisionTransformer, device: torch.device, dtype: torch.dtype) -> None:
    """Reorders weights for oneDNN, in place and once; else PyTorch does it again in every call.

    Those of a convolutional stem or an EfficientNet, and in bfloat16 those of dense layers: in float32 these go another
    way. A patch projection and a ResNet's convolutions are left, they have little to gain. What is packed can only be
    run: it has no parameters and cannot be copied. Leaves all as it is on a GPU, without oneDNN, or where `dtype` is
    not native.
    """
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return
    if dtype != torch.float32 and not computes_in_bfloat16(device):
        return
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    taken_apart = [block.attn.qkv for block in blocks[-1:]]  # by `Attention.first_tokens`
    for parent in list(network.modules()):
        if isinstance(parent, ConvStem):
            _pack_stem(parent, network.config.img_size)
        if isinstance(parent, EfficientNetLite):
            _pack_lite(parent, network.config.img_size)
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and dtype == torch.bfloat16 and child not in taken_apart:
                setattr(parent, name, _PackedLinear(child))


def _pack_stem(stem: ConvStem, size: tuple[int, int]) -> None:
    """Each convolution for the size of its input: weights in the order for another are reordered in every call."""
    height, width = size
    for layer in stem:
        assert isinstance(layer, StemLayer)
        layer.add_module("conv", _PackedConv2d(layer.conv, height, width))
        if layer.halve:
            height, width = height // 2, width // 2


def _pack_lite(backbone: EfficientNetLite, size: tuple[int, int]) -> None:
    """As `_pack_stem`, and the activation becomes a part of its convolution."""
    height, width = size
    for parent in (backbone, *backbone.blocks):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LiteLayer):
                parent.add_module(name, _PackedConv2d(layer.conv, height, width, relu6=layer.act))
                stride = layer.conv.stride[0]
                height, width = -(-height // stride), -(-width // stride)


class _Packed(nn.Module):
    """A layer by the operators that `torch.compile` uses for frozen networks; PyTorch has no public ones."""

    _weight: Any  # a tensor without strides

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self._bias = None if layer.bias is None else layer.bias.detach()


class _PackedConv2d(_Packed):
    def __init__(self, conv: nn.Conv2d, height: int, width: int, *, relu6: bool = False) -> None:
        super().__init__(conv)
        self._kernel, self._stride = conv.kernel_size[0], conv.stride[0]
        self._pads = isinstance(conv, SameConv2d) and self._stride > 1
        self._geometry = [(0, 0) if self._pads else conv.padding, conv.stride, conv.dilation, conv.groups]
        self._activation: tuple[str, list[float]] = ("hardtanh", [0.0, 6.0]) if relu6 else ("none", [])
        size = self._padded(torch.empty(1, conv.in_channels, height, width, device="meta")).shape
        weight = conv.weight.detach()
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._geometry, list(size))

    def _padded(self, x: Tensor) -> Tensor:
        return pad_as_same(x, self._kernel, self._stride) if self._pads else x

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, out, height', width')."""
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            self._padded(x), self._weight, self._bias, *self._geometry, *self._activation, ""
        )
        return out


class _PackedLinear(_Packed):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return out
