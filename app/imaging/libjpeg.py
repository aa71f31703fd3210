"""Owns JPEG → RGB by libjpeg-turbo, scaled while it decodes where a smaller picture will do; does not use Pillow."""

from typing import Any, Final

import numpy as np
import simplejpeg

from app.errors import CorruptImage
from app.imaging.colour import Pixels
from app.imaging.headers import jpeg
from app.imaging.headers.fields import Header

# Shares that libjpeg scales to in vector instructions; between them (3, 5, 6, 7 eighths) it is slower than unscaled.
_SHRINKS: Final = (8, 4, 2)
_END: Final = b"\xff\xd9"


def decode_jpeg(data: bytes | bytearray, header: Header, at_least: tuple[int, int] | None) -> Pixels | None:
    """Straight into an array, the same pixels as Pillow's in half the time; None where libjpeg objects, and for CMYK.

    With `at_least` (height, width), in pixels, the smallest of libjpeg's fast scales not below it on either side.
    Raises CorruptImage for more scans than the header let expect, of a file too long to look through at once.
    """
    strict = True  # which tells harmless oddities from a picture cut short: no use where it is known to be whole
    if header.coding == "many scans":
        seen = jpeg.scans(data)
        if seen.number > header.scans:
            raise CorruptImage(f"the JPEG image has more than {header.scans} scans")
        strict = not seen.ended
    height, width = _scaled(header, at_least or (header.height, header.width))
    if header.channels == 4:
        return None
    room = np.empty((height, width, 3), np.uint8)  # no more than was judged by the header
    try:
        size: dict[str, Any] = {"min_height": height, "min_width": width}
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", **size, buffer=room, strict=strict)
    except ValueError:  # Pillow has the last word
        return None
    return pixels if pixels.shape == room.shape else None


def _scaled(header: Header, at_least: tuple[int, int]) -> tuple[int, int]:
    for shrink in _SHRINKS:
        size = -(-header.height // shrink), -(-header.width // shrink)
        if size[0] >= at_least[0] and size[1] >= at_least[1]:
            return size
    return header.height, header.width


def with_its_end(data: bytes | bytearray, header: Header) -> bytes | bytearray:
    """The file, closed where nothing but its end marker is missing. Raises CorruptImage where more is.

    Nothing more is missing if the scans give all coefficients to the last bit, and libjpeg, which must warn of each
    block for which there are no bits, does not.
    """
    seen = jpeg.scans(data)
    if seen.ended:
        return data
    closed = bytes(data) + _END
    try:
        if seen.coefficients < jpeg.COEFFICIENTS * header.channels:
            raise ValueError("a scan is missing")
        # The smallest scale: every bit is read all the same.
        simplejpeg.decode_jpeg(closed, "CMYK" if header.channels == 4 else "RGB", min_height=1, min_width=1)
    except ValueError as error:
        raise CorruptImage(f"the JPEG image is truncated: {error}") from error
    return closed
