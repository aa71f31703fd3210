"""Owns where a network attends: weights, distances, rollout; does not draw, and costs serving nothing.

Shapes: B images, H heads, N tokens (prefix tokens, the class token first, then patches), n patches.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from app.network.vit import VisionTransformer


@dataclass(frozen=True, slots=True)
class AttentionStudy:
    """What a set of photographs showed: mean distances (layers, H) in pixels, and a rollout map for each photograph.

    `distances` leaves out the weight on prefix tokens; `renormalised` spreads it over the patches, so that each row
    sums to one again; `uniform` is what a head has that attends to all patches alike. `maps` are (rows, columns), the
    largest value 1.
    """

    distances: Tensor
    renormalised: Tensor
    uniform: float
    maps: tuple[Tensor, ...]


class _Eager(TorchFunctionMode):
    """Computes attention in the open: the fused kernel never has the weights in one place."""

    def __init__(self, see: Callable[[Tensor], None]) -> None:
        super().__init__()
        self._see = see

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        call = self._attend if func is F.scaled_dot_product_attention else func
        return call(*args, **(kwargs or {}))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, **_: object) -> Tensor:
        logits = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        weights = (logits if attn_mask is None else logits + attn_mask).softmax(dim=-1)
        self._see(weights)
        out: Tensor = weights @ v
        return out


@torch.inference_mode()
def attend(network: VisionTransformer, images: Tensor, see: Callable[[Tensor], None]) -> Tensor:
    """Runs (B, C, height, width), normalised, through all layers and returns `forward_features`, (B, N, D).

    `see` gets the weights of each layer in turn, (B, H, N, N), rows of queries that sum to 1 over the keys. They are
    taken at the call of PyTorch's attention, so they are those of the network, whatever it adds to the logits.
    """
    with _Eager(see):
        return network.forward_features(images)


def study(network: VisionTransformer, images: Iterable[Tensor], patch_px: int) -> AttentionStudy:
    """Distances averaged over `images`, each (C, height, width), and the rollout of each; one image at a time."""
    rows, columns = network.config.grid_size
    apart = patch_distances((rows, columns), patch_px)
    seen: list[Tensor] = []
    maps: list[Tensor] = []
    for image in images:
        layers: list[Tensor] = []
        rollout: Tensor | None = None

        def see(weights: Tensor, layers: list[Tensor] = layers) -> None:
            nonlocal rollout
            layers.append(torch.stack([mean_distance(weights, apart, renormalise=again) for again in (False, True)]))
            rollout = roll(rollout, weights)

        attend(network, image.unsqueeze(0), see)
        assert rollout is not None
        from_class = rollout[0, 0, -rows * columns :].reshape(rows, columns)
        maps.append(from_class / from_class.max())
        seen.append(torch.stack(layers, dim=1))  # (2, layers, H)
    distances, renormalised = torch.stack(seen).mean(dim=0)
    return AttentionStudy(distances, renormalised, apart.mean().item(), tuple(maps))


def patch_distances(grid: tuple[int, int], patch_px: int) -> Tensor:
    """(n, n): from centre to centre of the patches of a grid (rows, columns), in pixels."""
    rows, columns = torch.meshgrid(*(torch.arange(length, dtype=torch.float32) for length in grid), indexing="ij")
    centres = torch.stack([rows.flatten(), columns.flatten()], dim=1) * patch_px
    return torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")


def mean_distance(weights: Tensor, apart: Tensor, renormalise: bool) -> Tensor:
    """How far a head looks (paper Fig. 7, right): Σ over keys of weight · distance, mean over the patches that ask.

    (B, H, N, N) and (n, n) → (H,), in the unit of `apart`. Tokens that are no patches are left out on both sides;
    what the weights then lack of 1 stays lacking, or each row is renormalised.
    """
    between = weights[..., -len(apart) :, -len(apart) :]
    if renormalise:
        between = between / between.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(between.dtype).tiny)
    return torch.einsum("bhqk,qk->h", between, apart) / (len(weights) * len(apart))


def roll(rollout: Tensor | None, weights: Tensor) -> Tensor:
    """One more layer of attention rollout (Abnar & Zuidema, arXiv 2005.00928): (B, N, N), and (B, H, N, N) → (B, N, N).

    Mean over heads, half of it the identity for the residual branch, rows made to sum to 1, times what was before.
    """
    mixed = 0.5 * weights.mean(dim=1) + 0.5 * torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)
    mixed = mixed / mixed.sum(dim=-1, keepdim=True)
    return mixed if rollout is None else mixed @ rollout


def enlarge(attention: Tensor, height: int, width: int) -> Tensor:
    """A map over the patches, (rows, columns) → (height, width) pixels, bilinear."""
    return F.interpolate(attention[None, None], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
