"""Owns the gradients of depthwise convolutions on a CPU in bfloat16; does not know networks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.network.hybrid import SameConv2d


def speed_up_depthwise(network: nn.Module) -> None:
    """Has the slow ones among the gradients computed in float32, in place.

    In bfloat16 oneDNN has no kernels for those of filters of 5×5 and of strides, and its general one takes three to
    ten times as long.
    """
    for module in network.modules():
        if isinstance(module, SameConv2d) and module.groups == module.in_channels > 1:
            module.conv2d = depthwise_conv2d


def depthwise_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: Any = 1, padding: Any = 0, groups: int
) -> Tensor:
    """`F.conv2d` with one filter for each channel: (B, C, height, width) → (B, C, height', width')."""
    out: Tensor = _Depthwise.apply(x, weight, nn.modules.utils._pair(stride), nn.modules.utils._pair(padding))  # type: ignore[no-untyped-call]
    return out if bias is None else out + bias.view(1, -1, 1, 1)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        strided = max(ctx.stride) > 1
        wanted = ctx.needs_input_grad

        def gradient(dtype: torch.dtype, mask: list[bool]) -> list[Tensor | None]:
            parts = (part.to(dtype) for part in (gradients[0], x, weight))
            found: list[Tensor | None] = torch.ops.aten.convolution_backward(
                *parts, None, ctx.stride, ctx.padding, [1, 1], False, [0, 0], len(weight), [*mask, False]
            )
            return [None if each is None else each.to(x.dtype) for each in found]

        of_input = gradient(torch.float32 if strided else x.dtype, [True, False])[0] if wanted[0] else None
        of_weight = (
            gradient(torch.float32 if weight.shape[-1] > 3 else x.dtype, [False, True])[1] if wanted[1] else None
        )
        return of_input, of_weight, None, None
