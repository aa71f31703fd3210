"""Owns what of a file reaches a decoder: the parts that make its first picture; does not decode.

The decoders' wrappers walk through all of a file's metadata in Python, and fail at the least fault in it.
"""

import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Final

from app.imaging.headers import gif, isobmff, jpeg, png, tiff, webp
from app.imaging.headers.fields import Bytes, Header

# DHT, DAC, DQT, DNL, DRI; JFIF and Adobe, which tell the colour space; the frames.
_JPEG: Final = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDA, 0xE0, 0xEE, *range(0xC0, 0xD0)}
_PNG: Final = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_WEBP: Final = (b"VP8X", b"ANIM", b"ALPH", b"VP8 ", b"VP8L")
# Sizes, depth, compression, colour space, places and lengths of strips and tiles, palette; not the orientation.
_TIFF: Final = {
    *(254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 318, 319, 320),
    *(322, 323, 324, 325, 332, 338, 339, 347, *range(512, 522), 529, 530, 531, 532),
}


def essential(data: Bytes, header: Header) -> bytes:
    """The file without what its pixels do not need. Raises CorruptImage, IndexError or struct.error."""
    view = memoryview(data)
    return b"".join(_PARTS[header.format](view)) if header.format in _PARTS else bytes(data)


def _jpeg(data: memoryview) -> Iterable[Bytes]:
    yield data[:2]
    for marker, start, end in jpeg.segments(data):
        if marker in _JPEG:
            yield data[start - 4 : end]
    yield data[end:]


def _png(data: memoryview) -> Iterable[Bytes]:
    yield png.MAGIC
    for kind, start, end in png.chunks(data):
        checked = kind == b"tRNS" and zlib.crc32(data[start - 4 : end]).to_bytes(4, "big") == data[end : end + 4]
        if kind in _PNG or checked:  # of what may be left out, a broken one is, as browsers do
            yield data[start - 8 : end + 4]


def _gif(data: memoryview) -> Iterable[Bytes]:
    frame = gif.first_frame(data)
    yield data[: frame.palette_end]
    if frame.control is not None:
        yield data[frame.control : frame.control + 8]
    yield data[frame.image :]


def _webp(data: memoryview) -> Iterable[Bytes]:
    kept: list[Bytes] = [b"WEBP"]
    for kind, start, end in webp.chunks(data):
        if kind in _WEBP or kind == b"ANMF":
            kept.append(data[start - 8 : end + end % 2])
        if kind in (b"VP8 ", b"VP8L", b"ANMF"):
            break
    return [b"RIFF", struct.pack("<I", sum(len(part) for part in kept)), *kept]


def _tiff(data: memoryview) -> Iterable[Bytes]:
    """With a directory in the old one's place that has only the tags needed, and no other after it."""
    tags = tiff.directory(data)
    form = tags.layout
    entries = [form.entry.pack(*fields) for tag, fields in sorted(tags.entries.items()) if tag in _TIFF]
    shorter = struct.pack(form.tags, len(entries)) + b"".join(entries) + struct.pack(form.number, 0)
    return [data[: tags.at], shorter, data[tags.at + len(shorter) :]]


def _avif(data: memoryview) -> Iterable[Bytes]:
    """The still picture, not the film beside it; and its EXIF block, of which Pillow reads all, under another name."""
    meta = isobmff.box(data, b"meta", 0, len(data))
    brands = bytes(data[: meta.start]).replace(b"avis", b"avif")
    return [brands, bytes(data[meta.start : meta.end]).replace(b"Exif", b"free"), data[meta.end :]]


_PARTS: Final[dict[str, Callable[[memoryview], Iterable[Bytes]]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "WEBP": _webp,
    "TIFF": _tiff,
    "AVIF": _avif,
}
