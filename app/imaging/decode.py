"""Owns bytes → upright RGB pixels; does not resize, and reads no more than the limits allow."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from app.errors import CorruptImage, EmptyBody, NotAnImage, TooManyPixels

Pixels = npt.NDArray[np.uint8]  # (height, width, 3), RGB

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_EXIF_ORIENTATION: Final = 0x0112
# What Pillow's plugins raise on broken files, by experience and fuzzing; MemoryError stays a failure of ours.
_DECODE_ERRORS: Final = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError)


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What is refused before any pixel is decoded."""

    max_pixels: int = 50_000_000


def decode(data: bytes, limits: DecodeLimits) -> Pixels:
    """Reads the first frame of an image as upright RGB; transparent parts show white.

    The format is sniffed from the bytes. Raises EmptyBody, NotAnImage, TooManyPixels or CorruptImage.
    """
    if not data:
        raise EmptyBody("the image is empty: no bytes were sent")
    image = _open(data)
    width, height = image.size
    if width * height > limits.max_pixels:
        raise TooManyPixels(f"the image has {width} x {height} pixels; the limit is {limits.max_pixels} in all")
    orientation = _orientation(image)
    pixels = _decode_jpeg(data) if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L") else None
    if pixels is None:
        try:
            pixels = _to_rgb(image)
        except _DECODE_ERRORS as error:
            raise CorruptImage(f"the {image.format} image cannot be decoded: {error}") from error
    return _upright(pixels, orientation)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"the image announces too many pixels: {error}") from error
    except UnidentifiedImageError as error:
        if name := _signature(data):
            raise CorruptImage(f"the bytes begin like {name} but the header cannot be read") from error
        raise NotAnImage(f"the bytes are not an image of a format read here ({', '.join(FORMATS)})") from error
    except _DECODE_ERRORS as error:
        raise CorruptImage(f"the image header cannot be read: {error}") from error


def _signature(data: bytes) -> str | None:
    """The format whose magic number the bytes begin with."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    magic = {
        b"\xff\xd8\xff": "JPEG",
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"GIF87a": "GIF",
        b"GIF89a": "GIF",
        b"II*\0": "TIFF",
        b"MM\0*": "TIFF",
    }
    return next((name for start, name in magic.items() if data.startswith(start)), None)


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns these itself while loading
        return 1
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a broken EXIF block must not cost the picture; its parser raises many kinds
        return 1


def _decode_jpeg(data: bytes) -> Pixels | None:
    """libjpeg-turbo straight into an array, the same pixels as Pillow's in half the time; None where it objects."""
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError:  # strict about harmless oddities too: Pillow has the last word
        return None
    return pixels


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        return _grey_to_rgb(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _grey_to_rgb(values: npt.NDArray[np.generic]) -> Pixels:
    """16-bit integers keep their high byte; floats are taken as 0 … 1 if none is above 1, else as 0 … 255."""
    if values.dtype.kind == "f":
        finite = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
        scaled = finite * 255 if finite.max(initial=0) <= 1 else finite
        grey = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    else:
        grey = (np.clip(values.astype(np.int64), 0, 0xFFFF) >> 8).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undoes the camera's rotation (EXIF 2.3, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
