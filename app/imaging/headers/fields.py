"""Owns what a header can say of a picture; does not read bytes."""

import struct
from dataclasses import dataclass
from typing import Final

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")

Bytes = bytes | bytearray | memoryview
# What reading numbers out of a stranger's bytes raises, where they end or make no sense.
BROKEN: Final = (struct.error, LookupError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture announces of itself; nothing in it is judged yet.

    Sizes in pixels as stored, before the camera's rotation.
    """

    format: str  # one of FORMATS
    width: int
    height: int
    channels: int = 3
    bits: int = 8  # of one channel
    # How the pixels are packed: JPEG "one pass" or "many scans"; PNG "plain" or "interlaced"; WebP "lossy", "lossy with
    # alpha", "lossless" or "animated"; BMP "plain" or "RLE"; TIFF's compression by name; else "".
    coding: str = ""
    scans: int = 1  # of a JPEG; as many as decoding will take, no more
    samples: float = 3.0  # stored for one pixel in all channels: 1.5 for a JPEG of 4:2:0
    coded_px: int = 0  # of a frame, tile or grid that is larger than the picture
    band_px: int = 0  # that a decoder which streams must hold at once: two rows of tiles, an interlaced whole
    pieces: int = 0  # strips or tiles, each with its own beginning
    file_bytes: int = 0

    @property
    def pixels(self) -> int:
        """Those that decoding works on."""
        return max(self.width * self.height, self.coded_px)
