"""Owns a WebP's chunks; does not decode."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from app.errors import CorruptImage
from app.imaging.headers.fields import Bytes, Header

_MAX_CHUNKS: Final = 1024
_ANIMATION_FRAME_BYTES: Final = 16  # of place and duration, before the frame's own chunks


class Chunk(NamedTuple):
    """A chunk's kind; its data lie at data[start:end]."""

    kind: bytes
    start: int
    end: int


def chunks(data: Bytes, at: int = 12) -> Iterator[Chunk]:
    """To the end of the bytes. Raises CorruptImage for more than any picture has."""
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        yield Chunk(kind, at + 8, at + 8 + length)
        at += 8 + length + length % 2
    raise CorruptImage(f"the WebP image has more than {_MAX_CHUNKS} chunks")


def parse(data: Bytes) -> Header:
    """The canvas, and the coding of the first frame. Raises CorruptImage, or struct.error where the bytes end."""
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise CorruptImage("the WebP image is truncated")
    canvas, alpha, animated = (0, 0), False, False
    for kind, start, _ in chunks(data):
        if kind == b"VP8X":
            alpha = bool(data[start] & 0x10)
            canvas = _uint24(data, start + 4) + 1, _uint24(data, start + 7) + 1
        if kind == b"ANMF":
            animated = True
            kind, start, _ = next(chunk for chunk in _frame(data, start) if chunk.kind != b"ALPH")
        if kind in (b"VP8 ", b"VP8L"):
            coded, alpha = _bitstream(data, kind, start, alpha)
            width, height = canvas if canvas != (0, 0) else coded
            channels = 4 if alpha else 3
            still = "lossless" if kind == b"VP8L" else "lossy with alpha" if alpha else "lossy"
            coding = "animated" if animated else still
            return Header(
                "WEBP",
                width,
                height,
                channels,
                coding=coding,
                samples=channels,
                coded_px=coded[0] * coded[1],
                file_bytes=len(data),
            )
    raise CorruptImage("the WebP image has no picture in it")


def _frame(data: Bytes, start: int) -> Iterator[Chunk]:
    yield from chunks(data, start + _ANIMATION_FRAME_BYTES)
    raise CorruptImage("the WebP image has an empty frame")


def _bitstream(data: Bytes, kind: bytes, start: int, alpha: bool) -> tuple[tuple[int, int], bool]:
    """(width, height) and whether it is transparent in part."""
    if kind == b"VP8L":  # after a signature of one byte: 14 bits of width less 1, 14 of height, one of alpha
        (packed,) = struct.unpack_from("<I", data, start + 1)
        return ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1), bool(packed >> 28 & 1)
    width, height = struct.unpack_from("<HH", data, start + 6)  # after a frame tag and a start code of 3 bytes each
    return (width & 0x3FFF, height & 0x3FFF), alpha


def _uint24(data: Bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
