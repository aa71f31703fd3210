"""Owns what a picture will cost, judged by its header, and the limits on it; does not read or decode it."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from app.errors import CorruptImage, TooManyPixels
from app.imaging.headers.fields import Header

# Above it a picture is shrunk while it is decoded, by the formats that can. A telephone's usual 12 megapixels are not.
LARGE_PX: Final = 2**24
# JPEG's own. Pillow keeps a table as long as a side to resize it: for a PNG of 50 million x 1 pixels, 1.6 GB.
_MAX_SIDE_PX: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What is refused before any pixel is decoded."""

    max_pixels: int = 120_000_000
    max_bytes: int = 512 * 2**20  # that decoding may hold at once, beside the file
    convert_colour: bool = False  # to sRGB, by the picture's own ICC profile; else its colours are taken as sRGB


@dataclass(frozen=True, slots=True)
class Price:
    """What decoding and resizing will take at most."""

    seconds: float  # of one core of a server of 2023
    nbytes: int  # held at once, beside the file


class _Rate(NamedTuple):
    """What one pixel, and one byte of the file, cost."""

    ns_a_pixel: float
    ns_a_byte: float
    bytes_a_pixel: float
    bytes_a_pixel_if_large: float


_RATES: Final = {
    ("JPEG", "one pass"): _Rate(6, 20, 6, 1),
    ("JPEG", "many scans"): _Rate(6, 30, 6, 1),
    ("PNG", "plain"): _Rate(10, 15, 8, 1),
    ("PNG", "interlaced"): _Rate(20, 15, 8, 4),
    ("WEBP", "lossy"): _Rate(20, 40, 7, 2),
    ("WEBP", "lossless"): _Rate(45, 20, 7, 8),
    ("GIF", ""): _Rate(15, 15, 8, 8),
    ("BMP", "plain"): _Rate(8, 1, 8, 8),
    ("BMP", "RLE"): _Rate(20, 1500, 10, 10),
    ("AVIF", ""): _Rate(60, 150, 20, 20),
    ("HEIF", ""): _Rate(60, 150, 12, 12),
}
_TIFF: Final = _Rate(20, 20, 7, 6)
_LEAST_SECONDS: Final = 0.0005
_LEAST_BYTES: Final = 24 * 2**20  # a band in its conversions, and the resampling


def price(header: Header) -> Price:
    """An upper estimate that holds within a factor of two for most pictures; measured for each format and its worst."""
    rate = _RATES.get((header.format, header.coding), _TIFF)
    nanoseconds = header.pixels * rate.ns_a_pixel * header.scans + header.file_bytes * rate.ns_a_byte
    a_pixel = rate.bytes_a_pixel if header.pixels <= LARGE_PX else rate.bytes_a_pixel_if_large
    if header.coding == "many scans":  # the coefficients, of two bytes, are kept until the last scan
        a_pixel += 2 * header.samples
    return Price(_LEAST_SECONDS + nanoseconds / 1e9, round(_LEAST_BYTES + header.pixels * a_pixel))


def check(header: Header, limits: DecodeLimits) -> None:
    """Raises TooManyPixels for a picture over the limits, CorruptImage for one without pixels."""
    width, height = header.width, header.height
    if width * height > limits.max_pixels:
        raise TooManyPixels(f"the image has {width} x {height} pixels; the limit is {limits.max_pixels} in all")
    if max(width, height) > _MAX_SIDE_PX:
        raise TooManyPixels(f"the image has {width} x {height} pixels; the limit is {_MAX_SIDE_PX} for a side")
    if min(width, height) <= 0:
        raise CorruptImage(f"the image has {width} x {height} pixels, which is nothing to look at")
    if (nbytes := price(header).nbytes) > limits.max_bytes:
        raise TooManyPixels(
            f"decoding the {header.format} image of {width} x {height} pixels would take {nbytes} bytes of memory; "
            f"the limit is {limits.max_bytes}"
        )
