"""Owns the size that the AV1 bitstreams of an AVIF file themselves give; does not decode them.

The decoder goes by it: 16384 x 16384 pixels in a file that announces 64 x 48.
"""

from typing import Final

from app.errors import CorruptImage
from app.imaging.headers import isobmff
from app.imaging.headers.fields import Bytes, Header

_MAX_UNITS: Final = 64  # of a still picture there are three or four
_SEQUENCE_HEADER: Final = 1


class _Bits:
    """Reads numbers of any number of bits, the highest first."""

    def __init__(self, data: Bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError("the bits end")
        return self._value >> self._left & (1 << count) - 1


def check(data: Bytes, header: Header) -> None:
    """Raises CorruptImage for a frame larger than the file says, or IndexError or struct.error where bytes end."""
    view = memoryview(data)
    if any(_coded_px(view[start:end]) > header.pixels for start, end in isobmff.items(view)):
        raise CorruptImage("the AVIF image has a frame that is larger than its header says")


def _coded_px(data: Bytes) -> int:
    """The most that a frame may have by any of the sequence headers; 0 for an item that is no AV1."""
    at, most = 0, 0
    for _ in range(_MAX_UNITS):
        if at >= len(data):
            return most
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extended
        length, at = _leb128(data, at) if sized else (len(data) - at, at)
        if kind == _SEQUENCE_HEADER:
            most = max(most, _frame_px(_Bits(data[at : at + min(length, 256)])))
        at += length
    raise CorruptImage(f"the AVIF image has more than {_MAX_UNITS} units in one item")


def _leb128(data: Bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    value = 0
    for group in range(8):
        value |= (data[at + group] & 0x7F) << 7 * group
        if data[at + group] < 0x80:
            break
    return value, at + group + 1


def _frame_px(bits: _Bits) -> int:
    """Section 5.5 of the AV1 specification, as far as the largest frame's width and height."""
    bits.read(3 + 1)  # profile, still picture
    if bits.read(1):  # a reduced header
        bits.read(5)
    else:
        _skip_timing_and_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return (bits.read(width_bits) + 1) * (bits.read(height_bits) + 1)


def _skip_timing_and_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing
        bits.read(32 + 32)
        if bits.read(1):  # equal intervals, whose length is written in as many bits as zeros lead it
            zeros = 0
            while not bits.read(1):
                zeros += 1
            bits.read(zeros)
        if bits.read(1):  # the decoder's model
            delay_bits = bits.read(5) + 1
            bits.read(32 + 5 + 5)
    display_delays = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if display_delays and bits.read(1):
            bits.read(4)
