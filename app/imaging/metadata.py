"""Owns the two pieces of metadata that change pixels, EXIF's orientation and the ICC profile; does not apply them."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from app.errors import CorruptImage
from app.imaging.headers import jpeg, png, tiff, webp
from app.imaging.headers.fields import BROKEN, Bytes, Header

_MAX_EXIF_BYTES: Final = 2**16  # a JPEG's segment has no room for more
_MAX_PROFILE_BYTES: Final = 2**20
_EXIF: Final = b"Exif\0\0"
_ICC: Final = b"ICC_PROFILE\0"

_Parts = Callable[[Bytes], Iterator[tuple[Any, int, int]]]
# By format: what walks through its parts, and the kinds of part that hold EXIF and a profile.
_PLACES: Final[dict[str, tuple[_Parts, Any, Any]]] = {
    "JPEG": (jpeg.segments, 0xE1, 0xE2),
    "PNG": (png.chunks, b"eXIf", b"iCCP"),
    "WEBP": (webp.chunks, b"EXIF", b"ICCP"),
}


def orientation(data: Bytes, header: Header) -> int:
    """EXIF's tag 274, 1 … 8; 1 where it is missing or broken, which must not cost the picture.

    XMP has another, which browsers do not look at either.
    """
    try:
        if header.format == "TIFF":
            return tiff.directory(data).number(tiff.ORIENTATION, 1)
        walk, exif, _ = _PLACES[header.format]
        blocks = _blocks(data, walk, exif)
        if header.format == "JPEG":  # where XMP has the same marker
            blocks = (block for block in blocks if _begins(block, _EXIF))
        return next((exif_orientation(block) for block in blocks), 1)
    except (CorruptImage, *BROKEN):
        return 1


def exif_orientation(block: Bytes) -> int:
    """Of a block by itself, which is a TIFF without picture. Raises CorruptImage or one of BROKEN."""
    start = len(_EXIF) if _begins(block, _EXIF) else 0
    return tiff.directory(block[start : start + _MAX_EXIF_BYTES]).number(tiff.ORIENTATION, 1)


def icc_profile(data: Bytes, header: Header) -> bytes:
    """As it is embedded, of unknown soundness; none where it is missing, broken or over a megabyte."""
    try:
        if header.format == "TIFF":
            return bytes(tiff.directory(data).values(tiff.ICC_PROFILE)[:_MAX_PROFILE_BYTES])
        walk, _, icc = _PLACES[header.format]
        blocks = list(_blocks(data, walk, icc))
        if header.format == "JPEG":  # in numbered pieces
            pieces = sorted(bytes(block[len(_ICC) :]) for block in blocks if _begins(block, _ICC))
            return b"".join(piece[2:] for piece in pieces)[:_MAX_PROFILE_BYTES]
        if header.format == "PNG":  # a name, then zlib's stream
            start = bytes(blocks[0][:80]).index(b"\0") + 2
            return zlib.decompressobj().decompress(blocks[0][start:], _MAX_PROFILE_BYTES)
        return bytes(blocks[0])
    except (CorruptImage, *BROKEN, zlib.error):
        return b""


def _blocks(data: Bytes, walk: _Parts, wanted: Any) -> Iterator[memoryview]:
    view = memoryview(data)
    return (view[start:end] for kind, start, end in walk(view) if kind == wanted)


def _begins(block: Bytes, start: bytes) -> bool:
    return bytes(block[: len(start)]) == start
