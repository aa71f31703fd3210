"""Owns bytes → upright RGB pixels; does not resize, and reads no more than the limits allow."""

import io
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from app.errors import CorruptImage, EmptyBody, NotAnImage, TooManyPixels

Pixels = npt.NDArray[np.uint8]  # (height, width, 3), RGB

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_EXIF_ORIENTATION: Final = 0x0112
# libtiff's own limit too. Files in the wild have about ten; 0.3 MB of scans that say nothing took 80 s to decode.
_MAX_JPEG_SCANS: Final = 100
_BAND_PX: Final = 2**22
# JPEG's own. Pillow keeps a table as long as a side to resize it: for a PNG of 50 million x 1 pixels, 1.6 GB.
_MAX_SIDE_PX: Final = 0xFFFF

# Python keeps every distinct text that it has warned of; texts made of strangers' bytes would pile up.
warnings.filterwarnings("ignore", module=r"PIL\.")


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
    if max(width, height) > _MAX_SIDE_PX:
        raise TooManyPixels(f"the image has {width} x {height} pixels; the limit is {_MAX_SIDE_PX} for a side")
    if width * height == 0:
        raise CorruptImage(f"the image has {width} x {height} pixels, which is nothing to look at")
    try:
        pixels = _jpeg_to_rgb(data, image) if image.format in ("JPEG", "MPO") else None
        if pixels is None:
            pixels = _to_rgb(image)
    except (CorruptImage, MemoryError):
        raise
    except Exception as error:  # a decoder that stumbles over a stranger's bytes does so in many ways
        raise CorruptImage(f"the {image.format} image cannot be decoded: {error}") from error
    return _upright(pixels, _orientation(image))


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"the image announces too many pixels: {error}") from error
    except Exception as error:
        if name := signature(data):
            raise CorruptImage(f"the bytes begin like {name} but the header cannot be read") from error
        raise NotAnImage(f"the bytes are not an image of a format read here ({', '.join(FORMATS)})") from error


def signature(data: bytes) -> str | None:
    """The format whose magic number the bytes begin with; BMP's is two letters, with which a text may begin too."""
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


def _jpeg_to_rgb(data: bytes, image: Image.Image) -> Pixels | None:
    """libjpeg-turbo straight into an array, the same pixels as Pillow's in half the time; None where it objects."""
    if data.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise CorruptImage(f"the JPEG image has more than {_MAX_JPEG_SCANS} scans")
    if image.mode not in ("RGB", "L"):
        return None
    room = np.empty((image.height, image.width, 3), np.uint8)  # no more than was judged by the header
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=room)
    except ValueError:  # strict about harmless oddities too: Pillow has the last word
        return None
    return pixels if pixels.shape == room.shape else None


def _to_rgb(image: Image.Image) -> Pixels:
    """In bands, as each step takes a copy, and of a large image four at once would be a gigabyte."""
    image.load()
    if image.mode == "F":
        return _floats_to_rgb(np.asarray(image))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(_BAND_PX // image.width, 1)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = _band_to_rgb(image.crop((0, top, image.width, bottom)))
    return pixels


def _band_to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """(height, width, 3), or (height, width, 1) for grey of 16 bits, of which the high byte is kept."""
    if image.mode.startswith("I"):
        grey: npt.NDArray[np.uint8] = (np.clip(np.asarray(image), 0, 0xFFFF) >> 8).astype(np.uint8)
        return grey[:, :, None]
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _floats_to_rgb(values: npt.NDArray[np.float32]) -> Pixels:
    """Taken as 0 … 1 if none is above 1, else as 0 … 255; what is not finite is black."""
    finite = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    scaled = finite * 255 if finite.max() <= 1 else finite
    return np.repeat(np.clip(np.rint(scaled), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _orientation(image: Image.Image) -> int:
    """The EXIF tag, read after the pixels: Pillow turns a TIFF itself, and reads a PNG to its end in search of it."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a broken EXIF block must not cost the picture; its parser raises many kinds
        return 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undoes the camera's rotation (EXIF 2.3, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
