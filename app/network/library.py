"""Owns how a network of another library is run behind our decoders; does not know the libraries."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from app.network.vit import VisionTransformer


class LibraryNetwork(nn.Module):
    """Takes normalised float32 images (batch, channels, height, width) and gives logits (batch, classes).

    After `take_pixels` it takes pixels minus an offset, in whatever number format it was brought to. Nothing is folded
    into its weights: where they are, and what is padded with zeros before them, is the library's own.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        # Of what makes pixels normalised; no buffers, for in bfloat16 they would shift all pixels alike.
        self._scale_and_shift: tuple[Tensor, Tensor] | None = None

    def take_pixels(self, mean: Tensor, std: Tensor, offset: float) -> None:
        """From now on images are pixels (0 … 255) minus `offset`; mean and std, float64, on the 0 … 1 scale.

        With one of each the network takes grey images, which come as three equal colours.
        """
        scale, shift = 1 / (255 * std), (offset / 255 - mean) / std
        self._scale_and_shift = scale.float().view(1, -1, 1, 1), shift.float().view(1, -1, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """→ logits (batch, classes)."""
        if self._scale_and_shift is not None:
            scale, shift = self._scale_and_shift
            images = (images[:, : scale.shape[1]].float() * scale + shift).to(images.dtype)
        logits: Tensor = self.network(images)
        return logits

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._scale_and_shift is not None:
            device = next(self.network.parameters()).device
            scale, shift = self._scale_and_shift
            self._scale_and_shift = scale.to(device), shift.to(device)
        return self


@torch.inference_mode()
def refusal(network: "Network", height: int, width: int) -> str | None:
    """Why a library's network does not compute in the number format that it was brought to; None: it does.

    Some keep tensors of their own in float32. `height` and `width` of its images, in pixels.
    """
    if not isinstance(network, LibraryNetwork):
        return None
    first = next(network.parameters())
    try:
        network(torch.zeros(1, 3, height, width, dtype=first.dtype, device=first.device))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        return f"the library does not compute it in {first.dtype}: {' '.join(str(error).split())[:200]}"
    return None


Network = VisionTransformer | LibraryNetwork
