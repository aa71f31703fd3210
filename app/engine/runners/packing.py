"""Owns the order in which a CPU's kernels want the weights of convolutions; does not change what they compute."""

import torch
from torch import Tensor, nn

from app.model.precision import computes_in_bfloat16


def pack_convolutions(network: nn.Module, dtype: torch.dtype) -> None:
    """Reorders the convolutions' weights for oneDNN, in place and once; else PyTorch does it again in every call.

    The packed ones can only be run: they have no parameters. Leaves the network as it is where there is no oneDNN, or
    `dtype` is not native.
    """
    cpu = torch.device("cpu")
    if not torch.backends.mkldnn.is_available() or not (dtype == torch.float32 or computes_in_bfloat16(cpu)):
        return
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and type(child).forward is nn.Conv2d.forward:
                setattr(parent, name, _PackedConv2d(child))


class _PackedConv2d(nn.Module):
    """A convolution by the operators that `torch.compile` uses for frozen networks; PyTorch has no public ones."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self._geometry = [conv.padding, conv.stride, conv.dilation, conv.groups]
        self._bias = None if conv.bias is None else conv.bias.detach()
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach(), *self._geometry, [])

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, out, height', width')."""
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, self._bias, *self._geometry, "none", [], ""
        )
        return out
