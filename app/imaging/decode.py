"""Owns bytes → upright RGB pixels; does not resize beyond what decoders do, and reads no more than the limits allow."""

import warnings
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from app.errors import CorruptImage, VitServeError
from app.imaging import libheif, libjpeg, libvips, pillow
from app.imaging.colour import Pixels, Raster, to_rgb
from app.imaging.essential import essential
from app.imaging.header import FORMATS, read_header, signature
from app.imaging.headers import av1, tiff
from app.imaging.headers.fields import Header
from app.imaging.metadata import icc_profile, orientation
from app.imaging.price import LARGE_PX, DecodeLimits, check
from app.imaging.tiff_kinds import is_for_pillow

__all__ = ["FORMATS", "DecodeLimits", "Pixels", "decode", "signature"]

AtLeast = Callable[[int, int], tuple[int, int]]  # (height, width) of the upright picture → those that will do

_STREAMED_PX: Final = 2**20  # a WebP above it is decoded by libvips, which makes no four copies of it
_TURNED: Final = (5, 6, 7, 8)  # orientations in which height and width are exchanged

# Python keeps every distinct text that it has warned of; texts made of strangers' bytes would pile up.
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = None  # judged by our own reading of the header


def decode(data: bytes | bytearray, limits: DecodeLimits, at_least: AtLeast | None = None) -> Pixels:
    """Reads the first frame of an image as upright RGB; transparent parts show white.

    The format is sniffed from the bytes. A picture over LARGE_PX, and any JPEG where the limits say `scaled`, is shrunk
    on the way to no less than `at_least` says; any other is exact. Raises EmptyBody, NotAnImage, TooManyPixels or
    CorruptImage.
    """
    header = read_header(data)
    check(header, limits)
    turn = orientation(data, header)
    target = None
    if at_least and (header.pixels > LARGE_PX or (limits.scaled and header.format == "JPEG")):
        size = header.height, header.width
        target = at_least(*size[::-1])[::-1] if turn in _TURNED else at_least(*size)
    try:
        pixels, turn = _decode(data, header, turn, target, limits.convert_colour)
    except (VitServeError, MemoryError):
        raise
    except Exception as error:  # a decoder that stumbles over a stranger's bytes does so in many ways
        raise CorruptImage(f"the {header.format} image cannot be decoded: {error}") from error
    return _upright(pixels, turn)


def _decode(
    data: bytes | bytearray, header: Header, turn: int, target: tuple[int, int] | None, convert_colour: bool
) -> tuple[Pixels, int]:
    """With the orientation that is left to undo."""
    profile = icc_profile(data, header) if convert_colour else b""
    if header.format == "JPEG":
        pixels = libjpeg.decode_jpeg(data, header, target)
        if pixels is not None and not profile:
            if pixels.shape[:2] != (header.height, header.width):
                pixels = np.asarray(pillow.without_filling(Image.fromarray(pixels), header))
            return pixels, turn
        data = libjpeg.with_its_end(data, header)
    if header.format == "AVIF":
        av1.check(data, header)
    image: Raster
    if header.format == "HEIF":
        image, embedded = libheif.load(data, header)
        return to_rgb(image, header.bits, embedded if convert_colour else b""), 1
    if _is_for_vips(data, header):
        image = libvips.load(essential(data, header), header, target)
    else:
        image = pillow.load(essential(data, header), header, target)
    if header.format == "AVIF" and isinstance(image, Image.Image):
        turn = pillow.orientation(image)
        profile = image.info.get("icc_profile", b"") if convert_colour else b""
    return to_rgb(image, header.bits, profile), turn


def _is_for_vips(data: bytes | bytearray, header: Header) -> bool:
    if header.format == "WEBP":
        return header.pixels > _STREAMED_PX
    if header.format == "PNG":
        # Of these Pillow drops the low bytes before it looks for the transparent colour.
        return header.pixels > LARGE_PX or (header.bits, header.channels) == (16, 3)
    return header.format == "TIFF" and (not is_for_pillow(tiff.directory(data)) or header.pixels > LARGE_PX)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undoes the camera's rotation (EXIF 2.3, tag 274)."""
    if orientation in _TURNED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
