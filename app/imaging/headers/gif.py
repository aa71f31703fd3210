"""Owns a GIF's blocks up to its first frame; does not decode."""

import struct
from typing import Final, NamedTuple

from app.errors import CorruptImage
from app.imaging.headers.fields import Bytes, Header

# Comments and metadata come in pieces of at most 255 bytes. Empty ones, 16 MB of them, held a thread for ten seconds.
_MAX_PIECES: Final = 4096
_IMAGE: Final = 0x2C
_EXTENSION: Final = 0x21
_TRAILER: Final = 0x3B
_GRAPHIC_CONTROL: Final = 0xF9


class FirstFrame(NamedTuple):
    """Where the first frame's parts begin; `control` is None where it has none."""

    palette_end: int
    control: int | None
    image: int


def first_frame(data: Bytes) -> FirstFrame:
    """Raises CorruptImage, or IndexError where the bytes end."""
    at = palette_end = 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    control, inside = None, False
    for _ in range(_MAX_PIECES):
        start = data[at]
        if inside:
            inside = start > 0
            at += start + 1
        elif start == _EXTENSION:
            control = at if data[at + 1] == _GRAPHIC_CONTROL else control
            inside = True
            at += 2
        elif start == _IMAGE:
            return FirstFrame(palette_end, control, at)
        elif start == _TRAILER:
            raise CorruptImage("the GIF image has no frame")
        else:
            at += 1  # what is no block is passed over, as Pillow does
    raise CorruptImage(f"the GIF image has more than {_MAX_PIECES} pieces of metadata before its first frame")


def parse(data: Bytes) -> Header:
    """The screen, made larger where the first frame juts out. Raises as `first_frame`, or struct.error."""
    screen = struct.unpack_from("<HH", data, 6)
    frame = first_frame(data)
    left, top, width, height = struct.unpack_from("<HHHH", data, frame.image + 1)
    size = max(screen[0], left + width), max(screen[1], top + height)
    transparent = frame.control is not None and data[frame.control + 3] & 1
    return Header("GIF", *size, channels=4 if transparent else 3, samples=1, file_bytes=len(data))
