"""Owns the convolutional stem, which may stand in place of the patch projection; does not know the encoder."""

from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_ENTRY_WIDTH: Final = 32


class BatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm2d without the count of its steps, which serves a kind of average that is not used here."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        """Says that the weights are of the present version; those of older ones are given a count."""
        super()._load_from_state_dict(state_dict, prefix, {**local_metadata, "version": self._version}, *rest)


class ConvNorm(nn.Module):
    """3×3 convolution without bias, batch normalisation, halving by maximum where asked, GELU."""

    def __init__(self, in_chans: int, out_chans: int, *, halve: bool = False) -> None:
        super().__init__()
        self.halve = halve
        self.conv = nn.Conv2d(in_chans, out_chans, kernel_size=3, padding=1, bias=False)
        self.norm: nn.Module = BatchNorm2d(out_chans)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, height, width) → (B, out, height, width), or half of both sides."""
        x = self.norm(self.conv(x))
        return F.gelu(F.max_pool2d(x, 2) if self.halve else x)

    def fuse(self) -> None:
        """Moves the normalisation, as it is in evaluation, into the convolution; there is no way back."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class ConvStem(nn.Sequential):
    """Early convolutions help transformers see better (Xiao et al., arXiv 2106.14881).

    A stage of two convolutions for each width, the first of which halves height and width:
    (B, C, height, width) → (B, widths[-1], height / 2**n, width / 2**n). Learns in a tenth of the epochs that a
    plain patch projection needs on small data sets.
    """

    def __init__(self, in_chans: int, widths: tuple[int, ...]) -> None:
        layers = [ConvNorm(in_chans, _ENTRY_WIDTH)]
        before = _ENTRY_WIDTH
        for width in widths:
            layers += [ConvNorm(before, width, halve=True), ConvNorm(width, width)]
            before = width
        super().__init__(*layers)

    @property
    def entry(self) -> ConvNorm:
        """The convolution that sees the pixels."""
        first = self[0]
        assert isinstance(first, ConvNorm)
        return first

    def init_weights(self) -> None:
        """Begins near the identity: the first filters pass the channels on (Jordan, arXiv 2404.00498)."""
        for layer in self:
            assert isinstance(layer, ConvNorm)
            layer.conv.reset_parameters()
            weight = layer.conv.weight
            nn.init.dirac_(weight[: min(weight.shape[:2])])
