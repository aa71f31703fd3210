"""Owns the way from a decoder's pixels, of any depth and colour space, to RGB bytes; does not decode."""

import io
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Pixels = npt.NDArray[np.uint8]  # (height, width, 3), RGB
# In one of Pillow's modes, or (height, width) grey, or (height, width, 2 … 4) with alpha last.
Raster = Image.Image | npt.NDArray[np.uint8]

_BAND_PX: Final = 2**18  # each step takes a millisecond, in which Pillow leaves the interpreter to nobody else
_WITH_ALPHA: Final = ("RGBA", "LA", "PA", "RGBa", "La")
_Convert = Callable[[Image.Image], Image.Image]


def to_rgb(image: Raster, bits: int, profile: bytes = b"") -> Pixels:
    """Transparent parts show white, deep grey keeps the high byte of its `bits`; by the ICC profile if there is one.

    In bands, as each step takes a copy, and of a large image four at once would be a gigabyte.
    """
    if isinstance(image, np.ndarray) and image.shape[2:] == (3,) and not profile:
        return image
    if isinstance(image, Image.Image) and image.mode == "F":
        return np.repeat(floats_to_bytes(np.array(image))[:, :, None], 3, axis=2)
    convert = _to_srgb(profile) if profile else _as_it_is
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else image.size[::-1]
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(_BAND_PX // width, 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = _over_white(convert(_in_bytes(_rows(image, top, bottom), bits)))
    return pixels


def to_grey(pixels: Pixels) -> Pixels:
    """The luma of each pixel (ITU-R BT.601, as Pillow's mode L, to the last bit) in place of its three colours."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def _rows(image: Raster, top: int, bottom: int) -> Raster:
    if isinstance(image, np.ndarray):
        return image[top:bottom]
    return image if bottom - top == image.height else image.crop((0, top, image.width, bottom))


def _in_bytes(band: Raster, bits: int) -> Image.Image:
    """Grey of 16 bits, or of 32 taken as 16, as grey of 8; a palette as its colours."""
    image = Image.fromarray(band) if isinstance(band, np.ndarray) else band
    if image.mode.startswith("I"):
        values, shift = np.asarray(image), 8 if image.mode == "I" else bits - 8
        bytes_ = (np.clip(values, 0, 0xFFFF) >> shift).astype(np.uint8)
        if (transparent := image.info.get("transparency")) is None:
            return Image.fromarray(bytes_)
        return Image.fromarray(np.dstack([bytes_, np.where(values == transparent, 0, 255).astype(np.uint8)]), "LA")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("P", "1") else image


def _over_white(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode in _WITH_ALPHA:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


def _to_srgb(profile: bytes) -> _Convert:
    """By a profile that fits the image's channels; one that is broken or does not fit changes nothing."""
    transforms: dict[str, Any] = {}

    def convert(image: Image.Image) -> Image.Image:
        target = "RGBA" if image.mode == "RGBA" else "RGB"
        try:
            if image.mode not in transforms:
                transforms[image.mode] = ImageCms.buildTransform(
                    io.BytesIO(profile), ImageCms.createProfile("sRGB"), image.mode, target
                )
            converted = ImageCms.applyTransform(image, transforms[image.mode])
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image
        return converted or image

    return convert


def floats_to_bytes(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Taken as 0 … 1 if none is above 1, else as 0 … 255; what is not finite is black. Uses up `values`."""
    scaled = np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    if scaled.max() <= 1:
        scaled *= 255
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0, 255, out=scaled)
    bytes_: npt.NDArray[np.uint8] = scaled.astype(np.uint8)
    return bytes_
