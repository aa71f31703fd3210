"""Owns the layers of EfficientNet-Lite0 that may stand in front of a hybrid's encoder; does not know tokens.

Tan and Le, arXiv 1905.11946; the Lite form has no squeeze-and-excitation and ReLU6 for swish, for what computes in few
bits. Padded as TensorFlow's SAME.
"""

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from app.network.hybrid import SameConv2d
from app.network.norm import BatchNorm2d, ConvNorm
from app.package.variants import LITE_STAGES, LiteStage

_EPS: Final = 1e-3
_ENTRY_WIDTH: Final = 32


class LiteLayer(ConvNorm):
    """Convolution, batch normalisation, ReLU6 where asked."""

    def __init__(
        self, in_chans: int, out_chans: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, act: bool = True
    ) -> None:
        conv = SameConv2d(in_chans, out_chans, kernel, stride, groups)
        super().__init__(conv, BatchNorm2d(out_chans, _EPS))
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, out, ⌈height / stride⌉, ⌈width / stride⌉)."""
        x = self.norm(self.conv(x))
        return F.relu6(x) if self.act else x


class InvertedResidual(nn.Module):
    """1×1 to more channels, a filter for each of them, 1×1 to fewer (Sandler et al., arXiv 1801.04381)."""

    def __init__(self, in_chans: int, stage: LiteStage, stride: int) -> None:
        super().__init__()
        middle = in_chans * stage.expansion
        self.expand = LiteLayer(in_chans, middle) if stage.expansion > 1 else nn.Identity()
        self.filter = LiteLayer(middle, middle, stage.kernel, stride, groups=middle)
        self.project = LiteLayer(middle, stage.width, act=False)
        self.shortcut = stride == 1 and in_chans == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, stage.width, ⌈height / stride⌉, ⌈width / stride⌉)."""
        y: Tensor = self.project(self.filter(self.expand(x)))
        return x + y if self.shortcut else y


class EfficientNetLite(nn.Module):
    """The entry convolution and the first `stages`."""

    def __init__(self, in_chans: int, stages: int) -> None:
        super().__init__()
        self.stem = LiteLayer(in_chans, _ENTRY_WIDTH, 3, 2)
        blocks, channels = [], _ENTRY_WIDTH
        for stage in LITE_STAGES[:stages]:
            for i in range(stage.depth):
                blocks.append(InvertedResidual(channels, stage, 1 if i else stage.stride))
                channels = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.out_chans = channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, out_chans, ⌈height / s⌉, ⌈width / s⌉), s twice the product of the strides."""
        out: Tensor = self.blocks(self.stem(x))
        return out
