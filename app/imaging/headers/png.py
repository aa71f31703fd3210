"""Owns a PNG's chunks; does not inflate."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from app.errors import CorruptImage
from app.imaging.headers.fields import Bytes, Header

MAGIC: Final = b"\x89PNG\r\n\x1a\n"
# Encoders put at least 4 kB of pixels in each. Of empty ones, 16 MB held a thread for ten seconds.
_MAX_OTHER_CHUNKS: Final = 1024
_LEAST_MEAN_BYTES: Final = 2048
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_PALETTE: Final = 3


class Chunk(NamedTuple):
    """A chunk's kind; its data lie at data[start:end], with 8 bytes before and the checksum's 4 behind."""

    kind: bytes
    start: int
    end: int


def chunks(data: Bytes) -> Iterator[Chunk]:
    """To the end of the picture or of the bytes. Raises CorruptImage for more than any picture has."""
    at = len(MAGIC)
    most = _MAX_OTHER_CHUNKS + len(data) // _LEAST_MEAN_BYTES
    for _ in range(most):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        yield Chunk(kind, at + 8, at + 8 + length)
        if kind == b"IEND":
            return
        at += length + 12
    raise CorruptImage(f"the PNG image has more than {most} chunks")


def parse(data: Bytes) -> Header:
    """Raises CorruptImage, or struct.error where the bytes end."""
    length, kind, width, height, bits, colour = struct.unpack_from(">I4sIIBB", data, len(MAGIC))
    interlaced = data[28]
    if (length, kind) != (13, b"IHDR") or colour not in _SAMPLES:
        raise CorruptImage("the PNG image does not begin with a header that makes sense")
    samples = _SAMPLES[colour]
    return Header(
        "PNG",
        width,
        height,
        4 if colour == _PALETTE else samples,  # whose colours may be transparent
        bits,
        coding="interlaced" if interlaced else "plain",
        samples=samples,
        band_px=width * height if interlaced else 0,
        file_bytes=len(data),
    )
