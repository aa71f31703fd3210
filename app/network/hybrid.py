"""Owns the ResNet in front of a hybrid's encoder; does not know tokens.

Paper §3.1 and appendix B: a ResNet of the first version (normalised after each convolution) with GroupNorm and
standardised convolutions, padded as TensorFlow's SAME. Parameter names are timm's.
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.package.variants import ViTConfig

_GROUPS: Final = 32
_ROOT_WIDTH: Final = 64
_EXPANSION: Final = 4  # channels that leave a bottleneck, for each in its middle


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis of `size` so that ⌈size / stride⌉ windows fit; an odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_as_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """(B, C, height, width), padded for windows of `kernel` by `kernel`."""
    padding = same_padding(x.shape[3], kernel, stride) + same_padding(x.shape[2], kernel, stride)
    return F.pad(x, padding) if any(padding) else x


class SameConv2d(nn.Conv2d):
    """A square convolution without bias, padded as TensorFlow's SAME; its weights are left unset, as in `Linear`."""

    conv2d: Callable[..., Tensor] = staticmethod(F.conv2d)

    def __init__(self, in_chans: int, out_chans: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_chans, out_chans, kernel, stride, padding=kernel // 2, groups=groups, bias=False)

    def reset_parameters(self) -> None:
        """Does nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, out, ⌈height / stride⌉, ⌈width / stride⌉)."""
        return self._convolve(x, self.weight)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:  # an odd window's padding is the same on all sides
            return self.conv2d(x, weight, self.bias, padding=self.padding, groups=self.groups)
        return self.conv2d(pad_as_same(x, kernel, stride), weight, self.bias, stride=self.stride, groups=self.groups)


class StdConv2d(SameConv2d):
    """Weight standardisation (Qiao et al., arXiv 1903.10520): each filter is used with mean 0 and deviation 1."""

    def __init__(self, in_chans: int, out_chans: int, kernel: int, stride: int, config: ViTConfig) -> None:
        super().__init__(in_chans, out_chans, kernel, stride)
        self.standardization, self.eps = config.standardization, config.standardization_eps

    def forward(self, x: Tensor) -> Tensor:
        """As `SameConv2d`, with standardised weights."""
        return self._convolve(x, self.standardised_weight())

    def standardised_weight(self) -> Tensor:
        """(out, in, k, k), by the population's statistics of each filter, in float32 at least."""
        weight = self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))
        variance, mean = torch.var_mean(weight, dim=(1, 2, 3), correction=0, keepdim=True)
        scale = (variance + self.eps).sqrt() if self.standardization == "variance" else variance.sqrt() + self.eps
        return ((weight - mean) / scale).to(self.weight.dtype)


@torch.no_grad()
def standardise(network: nn.Module) -> None:
    """Puts a plain convolution of the standardised weights in each `StdConv2d`'s place; there is no way back."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, StdConv2d):
                plain = SameConv2d(child.in_channels, child.out_channels, child.kernel_size[0], child.stride[0])
                plain.weight = nn.Parameter(child.standardised_weight(), requires_grad=child.weight.requires_grad)
                setattr(parent, name, plain)


def _norm(channels: int, config: ViTConfig) -> nn.GroupNorm:
    return nn.GroupNorm(_GROUPS, channels, eps=config.group_norm_eps)


class Root(nn.Module):
    """The first convolution and pooling: a quarter of the image's height and width."""

    out_chans = _ROOT_WIDTH

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.conv = StdConv2d(config.in_chans, _ROOT_WIDTH, 7, 2, config)
        self.norm = _norm(_ROOT_WIDTH, config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, 64, ⌈height / 4⌉, ⌈width / 4⌉)."""
        x = F.relu(self.norm(self.conv(x)))
        return F.max_pool2d(pad_as_same(x, 3, 2), 3, 2)  # a zero of the padding never wins over what ReLU left


class Shortcut(nn.Module):
    """Brings a unit's input to the shape of its output."""

    def __init__(self, in_chans: int, out_chans: int, stride: int, config: ViTConfig) -> None:
        super().__init__()
        self.conv = StdConv2d(in_chans, out_chans, 1, stride, config)
        self.norm = _norm(out_chans, config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, out, ⌈height / stride⌉, ⌈width / stride⌉)."""
        out: Tensor = self.norm(self.conv(x))
        return out


class Bottleneck(nn.Module):
    """One residual unit; the stride is in its 3×3 convolution."""

    def __init__(self, in_chans: int, width: int, stride: int, config: ViTConfig) -> None:
        super().__init__()
        out_chans = _EXPANSION * width
        self.conv1, self.norm1 = StdConv2d(in_chans, width, 1, 1, config), _norm(width, config)
        self.conv2, self.norm2 = StdConv2d(width, width, 3, stride, config), _norm(width, config)
        self.conv3, self.norm3 = StdConv2d(width, out_chans, 1, 1, config), _norm(out_chans, config)
        same = in_chans == out_chans and stride == 1
        self.downsample = nn.Identity() if same else Shortcut(in_chans, out_chans, stride, config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, 4·width, ⌈height / stride⌉, ⌈width / stride⌉)."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + self.downsample(x))


class Stage(nn.Module):
    """Units of one width, the first of which takes the stride."""

    def __init__(self, in_chans: int, width: int, depth: int, stride: int, config: ViTConfig) -> None:
        super().__init__()
        first = Bottleneck(in_chans, width, stride, config)
        rest = [Bottleneck(_EXPANSION * width, width, 1, config) for _ in range(depth - 1)]
        self.blocks = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, 4·width, ⌈height / stride⌉, ⌈width / stride⌉)."""
        out: Tensor = self.blocks(x)
        return out


class ResNet(nn.Module):
    """Root and stages: (3, 4, 9) is a ResNet-50 whose fourth stage's units went to the third (paper §4.1)."""

    def __init__(self, layers: tuple[int, ...], config: ViTConfig) -> None:
        super().__init__()
        self.stem = Root(config)
        stages, channels = [], _ROOT_WIDTH
        for i, depth in enumerate(layers):
            width = _ROOT_WIDTH * 2**i
            stages.append(Stage(channels, width, depth, 2 if i else 1, config))
            channels = _EXPANSION * width
        self.stages = nn.Sequential(*stages)
        self.out_chans = channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, out_chans, ⌈height / s⌉, ⌈width / s⌉), s = 4 · 2 ** (stages - 1)."""
        out: Tensor = self.stages(self.stem(x))
        return out


def new_backbone(config: ViTConfig) -> Root | ResNet:
    """What stands under `patch_embed.backbone`: for no stages the root alone, as timm names it."""
    assert config.backbone_layers is not None
    return ResNet(config.backbone_layers, config) if config.backbone_layers else Root(config)
