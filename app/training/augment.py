"""Owns random changes to a batch, done on its device; does not know datasets or schedules."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from app.training.recipe import Recipe


def augment(images: Tensor, recipe: Recipe, *, only_flip: bool = False) -> Tensor:
    """Random flip, crop with scale and aspect, and colour jitter, each image its own.

    (B, 3, H, W), float on 0 … 1 → the same shape and range. Randomness from the device's global generator.
    """
    batch, device = images.shape[0], images.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch, device=device).uniform_(low, high)

    flip = 1.0 - 2.0 * (torch.rand(batch, device=device) < recipe.flip).float()
    ones = torch.ones(batch, device=device)
    scale = ones if only_flip else uniform(*recipe.crop_scale).sqrt()
    ratio = ones if only_flip else uniform(*map(math.log, recipe.crop_ratio)).exp().sqrt()
    wide, high = scale * ratio, scale / ratio  # half sides of the crop, in units of half the image
    theta = torch.zeros(batch, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = wide * flip, high
    theta[:, 0, 2] = uniform(-1, 1) * (1 - wide).abs()
    theta[:, 1, 2] = uniform(-1, 1) * (1 - high).abs()
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return images if only_flip or recipe.colour == 0 else _jitter(images, recipe.colour)


def _jitter(images: Tensor, strength: float) -> Tensor:
    def factor() -> Tensor:
        return torch.empty(images.shape[0], 1, 1, 1, device=images.device).uniform_(1 - strength, 1 + strength)

    images = images * factor()
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factor()
    grey = images.mean(dim=1, keepdim=True)
    return (grey + (images - grey) * factor()).clamp_(0, 1)
