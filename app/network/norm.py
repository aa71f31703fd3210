"""Owns a convolution with batch normalisation, which becomes one layer before serving; does not know networks."""

from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class BatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm2d without the count of its steps, which serves a kind of average that is not used here."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps)
        self.num_batches_tracked = None

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        """Says that the weights are of the present version; those of older ones are given a count."""
        super()._load_from_state_dict(state_dict, prefix, {**local_metadata, "version": self._version}, *rest)


class ConvNorm(nn.Module):
    """A convolution without bias, then batch normalisation."""

    def __init__(self, conv: nn.Conv2d, norm: BatchNorm2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm: nn.Module = norm

    def fuse(self) -> None:
        """Moves the normalisation, as it is in evaluation, into the convolution; there is no way back."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()
