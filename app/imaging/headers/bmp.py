"""Owns a bitmap's header; does not decode."""

import struct
from typing import Final

from app.imaging.headers.fields import Bytes, Header

INFO_BYTES: Final = (12, 40, 52, 56, 64, 108, 124)  # the lengths by which the versions are told apart
_RLE: Final = (1, 2)


def parse(data: Bytes) -> Header:
    """Raises struct.error where the bytes end."""
    (length,) = struct.unpack_from("<I", data, 14)
    compression = 0
    if length == INFO_BYTES[0]:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    coding = "RLE" if compression in _RLE else "plain"
    channels = 4 if bits == 32 else 3
    return Header("BMP", width, abs(height), channels, coding=coding, samples=max(bits / 8, 1), file_bytes=len(data))
