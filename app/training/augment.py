"""Owns random changes to a batch, done on its device; does not know datasets or schedules."""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from app.training.recipe import Recipe


def augment(images: Tensor, recipe: Recipe, *, only_flip: bool = False) -> Tensor:
    """Random changes, each image its own: a share is only flipped and shifted, the others cropped and degraded too.

    (B, 3, H, W), float on 0 … 1 → the same shape and range; the first images are the plain ones, so the order must
    be random. Randomness from the device's global generator.
    """
    if only_flip:
        return _shift(images, recipe.flip, 0)
    count = round(len(images) * recipe.plain)
    plain, others = _shift(images[:count], recipe.flip, recipe.shift), images[count:]
    if len(others):
        others = _degrade(_jitter(_crop(others, recipe), recipe), recipe)
    return _erase(torch.cat([plain, others]), recipe.erase)


def changed(images: Tensor, recipe: Recipe) -> Tensor:
    """Images as training shows those that are not plain, uint8 (n, 3, H, W) → the same shape, the same for a seed."""
    recipe = replace(recipe, plain=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(recipe.seed)
        parts = [(augment(part.float() / 255, recipe) * 255).round().to(torch.uint8) for part in images.split(256)]
    return torch.cat(parts)


def _shift(images: Tensor, flip: float, reach: int) -> Tensor:
    """A flip, and a shift by at most `reach` whole pixels either way with reflected borders: nothing is resampled."""
    batch, device = images.shape[0], images.device

    def places(length: int) -> Tensor:
        far = min(reach, length - 1)
        shifted = torch.arange(length, device=device) + torch.randint(-far, far + 1, (batch, 1), device=device)
        return (length - 1) - ((length - 1) - shifted.abs()).abs()

    rows, columns = places(images.shape[2]), places(images.shape[3])
    columns = torch.where(torch.rand(batch, 1, device=device) < flip, columns.flip(1), columns)
    image = torch.arange(batch, device=device).view(-1, 1, 1)
    return images.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _crop(images: Tensor, recipe: Recipe) -> Tensor:
    """A flip, and a crop of random scale, aspect and place; beyond the border is a reflection."""
    batch, device = images.shape[0], images.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch, device=device).uniform_(low, high)

    flip = 1.0 - 2.0 * (torch.rand(batch, device=device) < recipe.flip).float()
    scale = uniform(*recipe.crop_scale).sqrt()
    ratio = uniform(*map(math.log, recipe.crop_ratio)).exp().sqrt()
    wide, high = scale * ratio, scale / ratio  # half sides of the crop, in units of half the image
    theta = torch.zeros(batch, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = wide * flip, high
    theta[:, 0, 2] = uniform(-1, 1) * (1 - wide).abs()
    theta[:, 1, 2] = uniform(-1, 1) * (1 - high).abs()
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _jitter(images: Tensor, recipe: Recipe) -> Tensor:
    """Brightness, contrast, saturation, colour cast, and no colour at all."""

    def factor(strength: float, channels: int = 1) -> Tensor:
        size = (images.shape[0], channels, 1, 1)
        return torch.empty(size, device=images.device).uniform_(1 - strength, 1 + strength)

    images = images * (factor(recipe.colour) * factor(recipe.tint, 3))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factor(recipe.colour)
    grey = images.mean(dim=1, keepdim=True)
    keep = torch.rand(images.shape[0], 1, 1, 1, device=images.device) >= recipe.grey
    return (grey + (images - grey) * (factor(recipe.colour) * keep)).clamp_(0, 1)


def _degrade(images: Tensor, recipe: Recipe) -> Tensor:
    """Blur or sharpening, then noise: what other cameras and other downscaling do to the same scene."""
    size = (images.shape[0], 1, 1, 1)
    if recipe.sharpness:
        weights = torch.tensor((0.25, 0.5, 0.25), device=images.device)
        kernel = torch.outer(weights, weights).expand(images.shape[1], 1, 3, 3)
        soft = images
        for _ in range(2):
            soft = F.conv2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), kernel, groups=images.shape[1])
        amount = torch.empty(size, device=images.device).uniform_(-recipe.sharpness, recipe.sharpness)
        images = images + amount * (soft - images)
    if recipe.noise:
        images = images + torch.randn_like(images) * torch.empty(size, device=images.device).uniform_(0, recipe.noise)
    return images.clamp(0, 1)


def _erase(images: Tensor, share: float) -> Tensor:
    """Random erasing (Zhong et al., arXiv 1708.04896): a rectangle of a quarter to a half of either side."""
    if not share:
        return images
    batch, _, height, width = images.shape

    def inside(length: int) -> Tensor:
        extent = torch.empty(batch, 1, device=images.device).uniform_(0.25, 0.5) * length
        start = torch.rand(batch, 1, device=images.device) * (length - extent)
        place = torch.arange(length, device=images.device) + 0.5
        return (place >= start) & (place < start + extent)

    chosen = torch.rand(batch, 1, 1, 1, device=images.device) < share
    hidden = inside(height)[:, None, :, None] & inside(width)[:, None, None, :] & chosen
    return torch.where(hidden, torch.rand_like(images), images)
