"""Owns the tests of training/depthwise.py."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.network.efficientnet import EfficientNetLite
from app.training.depthwise import depthwise_conv2d, speed_up_depthwise


def gradients(convolve, dtype: torch.dtype, kernel: int, stride: int) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    x = torch.randn(4, 6, 9, 11, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, dtype=torch.float64).to(dtype).requires_grad_()
    bias = torch.randn(6, dtype=torch.float64).to(dtype).requires_grad_()
    y = convolve(x, weight, bias, stride=stride, padding=kernel // 2, groups=6)
    along = torch.randn(y.shape, dtype=torch.float64).to(dtype)
    return y.detach(), *torch.autograd.grad(y, (x, weight, bias), along)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_values_and_gradients_are_pytorchs(kernel: int, stride: int):
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.02)):
        expected = gradients(F.conv2d, torch.float64, kernel, stride)
        found = gradients(depthwise_conv2d, dtype, kernel, stride)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == dtype
            assert (ours - theirs).norm() < tolerance * theirs.norm()


def test_only_depthwise_convolutions_are_changed():
    network = EfficientNetLite(3, 2)
    speed_up_depthwise(network)
    changed = [name for name, module in network.named_modules() if getattr(module, "conv2d", None) is depthwise_conv2d]
    assert changed == [f"blocks.{i}.filter.conv" for i in range(3)]


def test_what_is_frozen_gets_no_gradient():
    network = EfficientNetLite(3, 1)
    speed_up_depthwise(network)
    convolution = network.get_submodule("blocks.0.filter.conv").requires_grad_(False)
    network(torch.randn(2, 3, 16, 16)).sum().backward()
    assert convolution.weight.grad is None
    assert network.stem.conv.weight.grad is not None
