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
    """What is refused before any pixel is decoded, whose colours are meant, and how exact the pixels must be."""

    max_pixels: int = 120_000_000
    max_bytes: int = 512 * 2**20  # that decoding may hold at once, beside the file
    convert_colour: bool = False  # to sRGB, by the picture's own ICC profile; else its numbers are taken as sRGB's
    scaled: bool = False  # a JPEG of more than twice the size that is asked for is shrunk while it is decoded
    nearly: bool = False  # where little is shrunk, a byte in some hundred may be one more or less than Pillow's


@dataclass(frozen=True, slots=True)
class Price:
    """What decoding and resizing will take at most."""

    seconds: float  # of one core of a server of 2023
    nbytes: int  # held at once, beside the file


class _Rate(NamedTuple):
    """Nanoseconds for each pixel, each byte of samples and each of the file; bytes of memory for each of the former."""

    ns_pixel: float
    ns_sample: float
    ns_file: float
    bytes_pixel: float
    bytes_sample: float = 0


# Measured for photographs, plain colours and noise of 0.2, 4, 16 and 50 megapixels; the dearest of them, or nearly.
_EXACT: Final = {
    ("JPEG", "one pass"): _Rate(1, 1.5, 8, 6.5),
    ("JPEG", "many scans"): _Rate(1, 1.5, 20, 6.5, 2),  # coefficients, of two bytes, are kept until the last scan
    ("PNG", "plain"): _Rate(6, 2.5, 16, 7.6),
    ("PNG", "interlaced"): _Rate(6, 3, 16, 7.6, 1),
    ("WEBP", "lossy"): _Rate(18, 0, 80, 11.5),
    ("WEBP", "lossy with alpha"): _Rate(18, 0, 80, 11.5),
    ("WEBP", "lossless"): _Rate(25, 0, 14, 11.5),
    ("WEBP", "animated"): _Rate(30, 0, 80, 16),
    ("GIF", ""): _Rate(15, 0, 10, 5),
    ("BMP", "plain"): _Rate(11, 0, 0, 7.8),
    ("BMP", "RLE"): _Rate(20, 0, 450, 10),
    ("TIFF", "plain"): _Rate(6, 2, 1, 7.8, 1),
    ("TIFF", "JPEG"): _Rate(12, 0, 10, 7.8, 1),
    ("AVIF", ""): _Rate(22, 0, 70, 9.1),
    ("HEIF", ""): _Rate(24, 0, 140, 7.6),
}
_TIFF: Final = _Rate(6, 4, 4, 7.8, 1)
# In bytes of samples that a decoder holds at once lies the memory of these, but for a few rows.
_SHRUNK: Final = {
    ("JPEG", "one pass"): _Rate(0.5, 0.3, 8, 0.2),
    ("JPEG", "many scans"): _Rate(0.5, 0.3, 20, 0.2, 2),
    ("PNG", "plain"): _Rate(0.5, 1.3, 16, 0, 0.2),
    ("PNG", "interlaced"): _Rate(0.5, 4, 16, 0, 0.2),
    ("WEBP", "lossy"): _Rate(3, 0, 100, 0.3),
    ("WEBP", "lossy with alpha"): _Rate(6, 0, 100, 1.4),
    ("WEBP", "lossless"): _Rate(10, 0, 25, 4.6),
    ("WEBP", "animated"): _Rate(25, 0, 100, 12),
    ("TIFF", "plain"): _Rate(1, 1.5, 1, 0, 0.2),
    ("TIFF", "JPEG"): _Rate(1, 1, 15, 0, 0.2),
}
_TIFF_SHRUNK: Final = _Rate(1, 2, 6, 0, 0.2)
_FOURTH_CHANNEL: Final = _Rate(20, 0, 0, 4.5)  # alpha laid over white, or black ink
_FLOATS: Final = _Rate(0, 5, 0, 0, 1)
_SCAN_NS_SAMPLE: Final = 0.35
_PIECE_NS: Final = 7000
_LEAST_SECONDS: Final = 0.002
_LEAST_BYTES: Final = 2**21
_BAND_PX: Final = 2**18  # which are converted at once, and cost more meanwhile
_BAND_BYTES_PIXEL: Final = 14
_FILE_COPIES: Final = 2
_SHRINKS_FROM_PX: Final = 2048  # the short side of which half is still twice what most networks look at


def price(header: Header) -> Price:
    """An upper estimate, for most pictures not above twice the truth."""
    shrunk = header.pixels > LARGE_PX and min(header.width, header.height) >= _SHRINKS_FROM_PX
    exact = _EXACT.get((header.format, header.coding), _TIFF)
    rate = _SHRUNK.get((header.format, header.coding), _TIFF_SHRUNK if header.format == "TIFF" else exact)
    rate = rate if shrunk else exact
    sample_bytes = header.samples * max(header.bits, 8) / 8
    ns_pixel = rate.ns_pixel + rate.ns_sample * sample_bytes
    bytes_pixel = rate.bytes_pixel + rate.bytes_sample * sample_bytes
    if header.coding == "many scans":
        ns_pixel += _SCAN_NS_SAMPLE * header.scans * sample_bytes
    if header.channels in (2, 4) and not shrunk:
        ns_pixel += _FOURTH_CHANNEL.ns_pixel
        bytes_pixel += _FOURTH_CHANNEL.bytes_pixel
    if header.bits > 16:
        ns_pixel += _FLOATS.ns_sample * sample_bytes
        bytes_pixel += _FLOATS.bytes_sample * sample_bytes
    nanoseconds = header.pixels * ns_pixel + header.file_bytes * rate.ns_file + header.pieces * _PIECE_NS
    nbytes = _LEAST_BYTES + _FILE_COPIES * header.file_bytes + min(header.pixels, _BAND_PX) * _BAND_BYTES_PIXEL
    nbytes += round(header.pixels * bytes_pixel + header.band_px * sample_bytes)
    return Price(_LEAST_SECONDS + nanoseconds / 1e9, nbytes)


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
