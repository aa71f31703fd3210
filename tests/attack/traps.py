"""Owns small files that cost much to decode; does not send them."""

import base64
import io
import json
import struct
import zlib
from functools import cache
from typing import Final

from PIL import Image

from tests.imaging.files import encode, gif, jpeg_of_many_scans, png, png_chunk, tiff, webp

_MEBIBYTE: Final = 2**20
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def lossless_webp(width: int, height: int) -> bytes:
    """38 bytes: five codes of one symbol each, so that no pixel takes a bit."""
    bits = sum(
        1 << 3 + 4 * code for code in range(5)
    )  # no transform, cache or second table; then five times 1, 0, 0, 0
    size = (width - 1) | (height - 1) << 14
    stream = b"\x2f" + struct.pack("<I", size) + bits.to_bytes(13, "little")
    chunk = b"VP8L" + struct.pack("<I", len(stream)) + stream
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def _deflated(size: int) -> bytes:
    """So many zeros, never held at once."""
    packer = zlib.compressobj(9)
    pieces = [packer.compress(bytes(_MEBIBYTE)) for _ in range(size // _MEBIBYTE)]
    return b"".join([*pieces, packer.compress(bytes(size % _MEBIBYTE)), packer.flush()])


def _png(width: int, height: int, interlaced: bool) -> bytes:
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    size = 0
    for left, top, step_x, step_y in passes:
        size += (1 + 3 * ((width - left + step_x - 1) // step_x)) * ((height - top + step_y - 1) // step_y)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, int(interlaced))
    chunks = ((b"IHDR", header), (b"IDAT", _deflated(size)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def _bmp_of_runs(width: int, height: int, runs: int) -> bytes:
    """RLE8 in runs of one pixel, two bytes each."""
    row = b"\x01\0" * width + b"\0\0"
    data = (row * (runs // width + 1))[: 2 * runs] + b"\0\1"
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 62 + len(data), 0, 0, 62) + info + bytes(8) + data


def _huge_avif(width: int, height: int) -> bytes:
    """A small AVIF whose boxes announce a huge picture."""
    small = encode(Image.new("RGB", (64, 64)), "AVIF", speed=10)
    return small.replace(struct.pack(">II", 64, 64), struct.pack(">II", width, height))


@cache
def webps() -> tuple[bytes, ...]:
    """Of 50 megapixels, and the largest that the format knows under 120."""
    return lossless_webp(7071, 7071), lossless_webp(16383, 7324)


@cache
def json_of_webps() -> bytes:
    """32 of them in 1.8 kB."""
    return json.dumps({"images": [base64.b64encode(webps()[0]).decode()] * 32}).encode()


@cache
def flat_png() -> bytes:
    """120 megapixels in black."""
    return _png(12_000, 10_000, interlaced=False)


@cache
def interlaced_png() -> bytes:
    """49 megapixels, which have to be held whole."""
    return _png(7000, 7000, interlaced=True)


@cache
def gifs() -> tuple[bytes, ...]:
    """A vast canvas, with a tiny and with a vast frame."""
    return gif((65_535, 1800), (1, 1)), gif((65_535, 1800), (65_535, 1800)), gif((7000, 7000), (7000, 7000))


@cache
def progressive_jpegs() -> tuple[bytes, ...]:
    """Scans that say nothing, each of which walks over all the coefficients."""
    return jpeg_of_many_scans(85, (3000, 3000)), jpeg_of_many_scans(85, (6000, 6000))


@cache
def bmps() -> tuple[bytes, ...]:
    """Runs of one pixel: the most work that a byte can ask for; and nothing but a header."""
    return _bmp_of_runs(4000, 4000, 2_000_000), _bmp_of_runs(7000, 7000, 1)


@cache
def tiffs() -> tuple[bytes, ...]:
    """LZW and deflate of 49 flat megapixels, in one strip and in many; an announcement alone."""
    flat = Image.new("L", (7000, 7000))
    kinds = ("tiff_lzw", "tiff_adobe_deflate", "packbits")
    strips = Image.new("RGB", (7000, 7000))
    return (
        *(encode(flat, "TIFF", compression=kind) for kind in kinds),
        encode(strips, "TIFF", compression="tiff_lzw", tiffinfo={278: 1}),
        tiff(7000, 7000),
    )


@cache
def avifs() -> tuple[bytes, ...]:
    """One of 16 flat megapixels in 786 bytes, and one that only says it were larger."""
    buffer = io.BytesIO()
    Image.new("RGB", (4096, 4096), (9, 9, 9)).save(buffer, "AVIF", speed=10, quality=10)
    return buffer.getvalue(), _huge_avif(16_384, 16_384)


@cache
def others() -> tuple[bytes, ...]:
    """Canvases that are never filled."""
    return webp(16_383, 7324), png(12_000, 10_000), png(50_000_000, 1)
