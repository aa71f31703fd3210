"""Owns the reading of any picture's header, in bounded time, on the event loop; does not decode, nor judge sizes."""

from typing import Final

from app.errors import CorruptImage, EmptyBody, NotAnImage
from app.imaging.headers import bmp, foreign, gif, isobmff, jpeg, png, tiff, webp
from app.imaging.headers.fields import BROKEN, FORMATS, Bytes, Header

__all__ = ["FORMATS", "Header", "read_header", "signature"]

_PARSERS: Final = {
    "JPEG": jpeg.parse,
    "PNG": png.parse,
    "WEBP": webp.parse,
    "GIF": gif.parse,
    "BMP": bmp.parse,
    "TIFF": tiff.parse,
    "AVIF": isobmff.parse,
    "HEIF": isobmff.parse,
}
_MAGIC: Final = {
    b"\xff\xd8\xff": "JPEG",
    png.MAGIC: "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}


def signature(data: Bytes) -> str | None:
    """The format, one of FORMATS, whose magic number the bytes begin with."""
    head = bytes(data[:18])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    # Two letters, with which a text may begin too; the length of a header further on is one of few.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in bmp.INFO_BYTES:
        return "BMP"
    return next((name for start, name in _MAGIC.items() if head.startswith(start)), None) or isobmff.brand(data)


def read_header(data: Bytes) -> Header:
    """Takes less than a millisecond for any bytes, and copies none of many.

    Raises EmptyBody; NotAnImage, naming what it is instead if its magic number tells; or CorruptImage.
    """
    if not data:
        raise EmptyBody("the image is empty: no bytes were sent")
    kind = signature(data)
    if kind is None:
        what = foreign.name(data)
        reason = f"{what} is not read here" if what else "the bytes are not an image of a format read here"
        raise NotAnImage(f"{reason} ({', '.join(FORMATS)})")
    try:
        return _PARSERS[kind](data)
    except BROKEN as error:
        raise CorruptImage(f"the bytes begin like {kind} but the header cannot be read") from error
