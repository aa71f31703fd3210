"""Owns files whose headers cost much to read, of up to 16 MB; does not send them."""

import struct
from functools import cache
from typing import Final

from PIL import Image

from tests.imaging.files import encode, picture, png, png_chunk, tiff

_SIZE: Final = 15 * 10**6


def _filled(piece: bytes) -> bytes:
    return piece * (_SIZE // len(piece))


def _exif(block: bytes) -> bytes:
    """A sound JPEG with this as its EXIF block."""
    content = b"Exif\0\0" + block
    segment = b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    jpeg = encode(picture(), "JPEG")
    return jpeg[:2] + segment + jpeg[2:]


def _ifd(entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


@cache
def pngs() -> tuple[bytes, ...]:
    """Chunks of nothing: unknown ones, texts, and an animation's frames."""
    kinds = (b"tEXt", b"prVt", b"zTXt", b"fcTL")
    return tuple(png(8, 8, _filled(png_chunk(kind, b""))) for kind in kinds)


@cache
def jpegs() -> tuple[bytes, ...]:
    """Segments of nothing: comments, EXIF, ICC, Photoshop; fill bytes; scans without coefficients."""
    jpeg = encode(picture(), "JPEG")
    pieces = (b"\xff\xfe\0\2", b"\xff\xe1\0\2", b"\xff\xe2\0\2", b"\xff\xed\0\2", b"\xff", b"\xff\xdb\0\2")
    return tuple(jpeg[:2] + _filled(piece) + jpeg[2:] for piece in pieces)


@cache
def gifs() -> tuple[bytes, ...]:
    """Extension blocks and frames of nothing."""
    image = encode(picture(), "GIF")
    at = 13 + 3 * 2 ** ((image[10] & 7) + 1) if image[10] & 0x80 else 13
    comment, frame = b"\x21\xfe\0", b"\x2c" + bytes(9) + b"\x02\0"
    long = b"\x21\xfe" + _filled(b"\1a") + b"\0"
    return tuple(image[:at] + middle + image[at:] for middle in (_filled(comment), _filled(frame), long))


@cache
def tiffs() -> tuple[bytes, ...]:
    """Directories that lead to themselves, are endless, or announce more values than there are bytes."""
    loop = b"II*\0\x08\0\0\0" + _ifd([], 8)
    pair = b"II*\0\x08\0\0\0" + _ifd([], 14) + _ifd([], 8)
    giant = b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 270, 2, 1, 0) * 65_535 + bytes(4)
    chain = b"II*\0\x08\0\0\0" + b"".join(_ifd([], 8 + 6 * number) for number in range(1, _SIZE // 6))
    values = tiff(8, 8, {273: (4, 2**30, 8), 279: (4, 2**30, 8)})
    long = tiff(8, 8, {270: (2, _SIZE, 8)}) + bytes(_SIZE)
    strips = tiff(8, 8, {273: (4, _SIZE // 4, 200), 279: (4, _SIZE // 4, 200), 278: (4, 1, 1)}) + bytes(_SIZE)
    return loop, pair, giant, chain, values, long, strips


@cache
def exifs() -> tuple[bytes, ...]:
    """EXIF blocks that loop, are nested, or announce gigabytes."""
    start = b"II*\0\x08\0\0\0"
    loops = (_ifd([(0x8769, 4, 1, 8)], 8), _ifd([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)], 8))
    giant = _ifd([(0x0112, 3, 2**31, 8), (0x010E, 2, 2**32 - 1, 8)], 0)
    many = _ifd([(tag, 7, 60_000, 0) for tag in range(5000)], 0)
    return tuple(_exif(start + block) for block in (*loops, giant, many))


@cache
def boxes() -> tuple[bytes, ...]:
    """WebP and AVIF of empty boxes."""
    pixel = encode(Image.new("RGB", (8, 8)), "WEBP")[12:]
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x04" + bytes(9)
    chunks = extended + _filled(b"EXIF\0\0\0\0") + pixel
    webp = b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
    avif = encode(picture(), "AVIF", speed=10)
    (length,) = struct.unpack(">I", avif[:4])
    return webp, avif[:length] + _filled(b"\0\0\0\x08free") + avif[length:], avif[:length] + _filled(b"\0\0\0\x08meta")
