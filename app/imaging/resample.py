"""Owns resize and crop as a PreprocessSpec says; does not normalise, which happens on the device."""

import math
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from app.domain import PreprocessSpec
from app.imaging.decode import DecodeLimits, Pixels, decode

_PILLOW: Final = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
_TORCH_KERNELS: Final = ("bilinear", "bicubic")
# A long thin picture resized whole before its middle is cut out would cost up to its aspect ratio in memory.
_MAX_WASTE: Final = 8


def preprocess(data: bytes, spec: PreprocessSpec, limits: DecodeLimits, out: Pixels) -> None:
    """Decodes `data` and writes the network's input, uint8 (height, width, 3), into `out`.

    Raises what `decode` raises; `out` is then untouched or half-written and must not be used.
    """
    resample(decode(data, limits), spec, out)


def resized_size(height: int, width: int, spec: PreprocessSpec) -> tuple[int, int]:
    """The (height, width) to which an image is resized before the crop.

    The rules are timm's `transforms_imagenet_eval` over torchvision's `Resize`: the short side is exact, the
    long side truncated; targets that are not square keep the ratio and round.
    """
    target = math.floor(spec.height / spec.crop_pct), math.floor(spec.width / spec.crop_pct)
    if spec.crop_mode == "squash":
        return target
    if spec.crop_mode == "center" and target[0] == target[1]:
        short = target[0]
        if height <= width:
            return short, int(short * width / height)
        return int(short * height / width), short
    ratios = height / target[0], width / target[1]
    ratio = max(ratios) if spec.crop_mode == "border" else min(ratios)
    return max(round(height / ratio), 1), max(round(width / ratio), 1)


def resample(pixels: Pixels, spec: PreprocessSpec, out: Pixels) -> None:
    """Resizes and centre-crops (h, w, 3) into `out` (spec.height, spec.width, 3); what is missing is padded.

    Padding is black as in torchvision's `CenterCrop`, or the mean colour with crop mode "border".
    """
    size = resized_size(pixels.shape[0], pixels.shape[1], spec)
    source, target = zip(_span(size[0], spec.height), _span(size[1], spec.width), strict=True)
    (top, left), (rows, columns) = (tuple(s.start for s in source), tuple(s.stop - s.start for s in source))
    if size[0] * size[1] <= _MAX_WASTE * spec.height * spec.width and spec.interpolation in _TORCH_KERNELS:
        part = _resize_torch(pixels, size, spec.interpolation)[source]
    else:
        part = _resize_pillow(pixels, size, (top, left, rows, columns), spec.interpolation)
    if (rows, columns) != (spec.height, spec.width):
        out[:] = [round(255 * m) for m in spec.mean] if spec.crop_mode == "border" else 0
    out[target] = part


def _span(have: int, want: int) -> tuple[slice, slice]:
    """Where to cut from and where to put, along one axis; offsets round half to even as torchvision's do."""
    if have >= want:
        start = round((have - want) / 2.0)
        return slice(start, start + want), slice(0, want)
    start = (want - have) // 2
    return slice(0, have), slice(start, start + have)


def _resize_torch(pixels: Pixels, size: tuple[int, int], kernel: str) -> Pixels:
    """Pillow's fixed-point arithmetic in vector instructions: equal to ±1 and ten times faster."""
    if pixels.shape[:2] == size:
        return pixels
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # channels-last, which selects the fast kernel
    resized = F.interpolate(image, size=size, mode=kernel, antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def _resize_pillow(
    pixels: Pixels, size: tuple[int, int], crop: tuple[int, int, int, int], kernel: str
) -> Pixels:
    """Any kernel, and only the crop (top, left, rows, columns) of the resized image is ever computed."""
    top, left, rows, columns = crop
    down, across = pixels.shape[0] / size[0], pixels.shape[1] / size[1]
    box = (left * across, top * down, (left + columns) * across, (top + rows) * down)
    box = (box[0], box[1], min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0]))
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), _PILLOW[kernel], box=box))


def use_one_core() -> None:
    """Keeps this thread's kernels on one core: each thread that enters a parallel kernel brings its own team."""
    torch.set_num_threads(1)
