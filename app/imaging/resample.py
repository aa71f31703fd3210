"""Owns resize and crop as a PreprocessSpec says; does not normalise, which happens on the device."""

import math
from functools import partial
from typing import Final

import numpy as np
from PIL import Image

from app.domain import Library, PreprocessSpec
from app.imaging.colour import to_grey
from app.imaging.decode import DecodeLimits, Pixels, decode
from app.imaging.tensorflow_resize import resize_as_tensorflow
from app.imaging.vector_resize import KERNELS, resize_axis

_PILLOW: Final = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
# Vector instructions keep weights in 15 bits, Pillow in 22. Where a sample hangs on few others, that shows: below this
# ratio of source to target, 1 sample of photographs in a million was off by 2 of 255; above it none in 200 million.
_EXACT_BELOW: Final = 2.0
# A long thin picture resized whole before its middle is cut out costs its aspect ratio in memory and time.
_MAX_CUT_AWAY_PX: Final = 2**22
_REACH: Final = 3  # half the width of the widest kernel, Lanczos, in pixels of the coarser side

Crop = tuple[slice, slice]  # rows, columns


def preprocess(data: bytes | bytearray, spec: PreprocessSpec, limits: DecodeLimits, out: Pixels) -> None:
    """Decodes `data` and writes the network's input, uint8 (height, width, 3), into `out`; grey as three equal colours.

    Raises what `decode` raises; `out` is then untouched or half-written and must not be used.
    """
    size: tuple[int, int] | None = None

    def enough(height: int, width: int) -> tuple[int, int]:
        """Twice what it is resized to; so the resampling proper still decides how it looks."""
        nonlocal size
        size = resized_size(height, width, spec)
        return 2 * size[0], 2 * size[1]

    pixels = decode(data, limits, enough)
    resample(pixels if spec.channels != 1 else to_grey(pixels), spec, out, size, nearly=limits.nearly)


def resized_size(height: int, width: int, spec: PreprocessSpec) -> tuple[int, int]:
    """The (height, width) to which an image is resized before the crop.

    The rules are timm's `transforms_imagenet_eval` over torchvision's `Resize`: the short side is exact, the
    long side truncated; targets that are not square keep the ratio and round. TensorFlow's long side is rounded.
    """
    if isinstance(spec.resize_px, tuple):
        return spec.resize_px
    if spec.resize_px is not None:
        return _short_side(height, width, spec.resize_px, spec.library)
    target = math.floor(spec.height / spec.crop_pct), math.floor(spec.width / spec.crop_pct)
    if spec.crop_mode == "squash":
        return target
    if spec.crop_mode == "center" and target[0] == target[1]:
        return _short_side(height, width, target[0], spec.library)
    ratios = height / target[0], width / target[1]
    ratio = max(ratios) if spec.crop_mode == "border" else min(ratios)
    return max(round(height / ratio), 1), max(round(width / ratio), 1)


def _short_side(height: int, width: int, short: int, library: Library) -> tuple[int, int]:
    if library == "tensorflow":  # in float32 and half to even, as big_vision's `resize_small`
        factor = np.float32(short) / np.float32(min(height, width))
        return int(np.rint(np.float32(height) * factor)), int(np.rint(np.float32(width) * factor))
    if height <= width:
        return short, int(short * width / height)
    return int(short * height / width), short


def resample(
    pixels: Pixels, spec: PreprocessSpec, out: Pixels, size: tuple[int, int] | None = None, *, nearly: bool = False
) -> None:
    """Resizes and centre-crops (h, w, 3) into `out` (spec.height, spec.width, 3); what is missing is padded.

    Padding is black as in torchvision's `CenterCrop`, or the mean colour with crop mode "border". `size` (height,
    width), in pixels, before the crop: given for a picture that was shrunk already, so that its own has lost digits.
    `nearly`: where less than half is left out, within 1 of 255, and faster.
    """
    size = size or resized_size(pixels.shape[0], pixels.shape[1], spec)
    rows, to_rows = _span(size[0], spec.height, spec.library)
    columns, to_columns = _span(size[1], spec.width, spec.library)
    resize = resize_as_tensorflow if spec.library == "tensorflow" else partial(_resize, nearly=nearly)
    part = resize(pixels, size, (rows, columns), spec.interpolation)
    if part.shape != out.shape:
        out[:] = [round(255 * m) for m in spec.mean] if spec.crop_mode == "border" else 0
    out[to_rows, to_columns] = part


def _span(have: int, want: int, library: Library) -> tuple[slice, slice]:
    """Where to cut from and where to put, along one axis.

    torchvision cuts half to even and pads less before than after; the others cut less before and pad more.
    """
    if have >= want:
        start = round((have - want) / 2.0) if library == "torchvision" else (have - want) // 2
        return slice(start, start + want), slice(0, want)
    start = (want - have) // 2 if library == "torchvision" else (want - have + 1) // 2
    return slice(0, have), slice(start, start + have)


def _resize(pixels: Pixels, size: tuple[int, int], crop: Crop, kernel: str, nearly: bool) -> Pixels:
    """`crop` of the image resized to `size`, as Pillow gives it: across, rounded and clipped to a byte, then down."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels[crop]
    if height - size[0] > max(0, 2 * (width - size[1])):  # here Pillow goes down first; turned, down is across
        turned = _resize(pixels.transpose(1, 0, 2), size[::-1], crop[::-1], kernel, nearly)
        return turned.transpose(1, 0, 2)
    rows, columns = (part.stop - part.start for part in crop)
    if size[0] * size[1] - rows * columns > _MAX_CUT_AWAY_PX:
        return _resize_crop_only(pixels, size, crop, kernel)
    much = height >= _EXACT_BELOW * size[0]
    if kernel not in KERNELS or not (much or nearly):
        return np.asarray(Image.fromarray(pixels).resize(size[::-1], _PILLOW[kernel]))[crop]
    if much:
        return resize_axis(resize_axis(pixels, 1, size[1], kernel), 0, size[0], kernel)[crop]
    # A byte off in the first pass can grow in the second, so Pillow does the first; one in the last stays one.
    needed = _needed(height, size[0], crop[0])
    across = Image.fromarray(pixels[needed]).resize((size[1], needed.stop - needed.start), _PILLOW[kernel])
    narrow = np.empty((height, columns, 3), np.uint8)  # the rows not needed stay unset: no row of the crop sees them
    narrow[needed] = np.asarray(across)[:, crop[1]]
    return resize_axis(narrow, 0, size[0], kernel)[crop[0]]


def _resize_crop_only(pixels: Pixels, size: tuple[int, int], crop: Crop, kernel: str) -> Pixels:
    """The crop and nothing else, so memory is bounded by source and crop; the box is rounded to float32."""
    needed = tuple(_needed(*lengths) for lengths in zip(pixels.shape, size, crop, strict=False))
    image = Image.fromarray(pixels[needed])
    (top, bottom), (left, right) = (
        (part.start * source / target - near.start, min(part.stop * source / target, near.stop) - near.start)
        for part, source, target, near in zip(crop, pixels.shape, size, needed, strict=False)
    )
    columns, rows = crop[1].stop - crop[1].start, crop[0].stop - crop[0].start
    image = image.resize((columns, image.height), _PILLOW[kernel], box=(left, 0, right, image.height))
    return np.asarray(image.resize((columns, rows), _PILLOW[kernel], box=(0, top, columns, bottom)))


def _needed(source: int, target: int, part: slice) -> slice:
    """The pixels along one axis that `part` of the target is made of, and a few more."""
    scale = source / target
    reach = _REACH * max(scale, 1.0) + 1
    return slice(max(math.floor(part.start * scale - reach), 0), min(math.ceil(part.stop * scale + reach), source))
