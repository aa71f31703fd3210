"""Owns a JPEG's markers; does not decode."""

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from app.errors import CorruptImage
from app.imaging.headers.fields import Bytes, Header

# libtiff's own limit too. Files in the wild have about ten; 0.3 MB of scans that say nothing took 80 s to decode.
MAX_SCANS: Final = 100
# 64 kB each, so that more are no metadata. Four bytes each, 16 MB of them held a thread for seconds.
_MAX_SEGMENTS: Final = 512
_MAX_FILLING_BYTES: Final = 1024  # between two segments
_MARKER: Final = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")  # neither a stuffed zero, nor a restart, nor a filling FF
# What is looked through for scans at once: half a millisecond at most, in which nobody else has the interpreter.
_LOOK_BYTES: Final = 2**16
_BRIEFLY: Final = 128  # segments
# Beyond a brief look; a decoder that finds more refuses.
_USUAL_SCANS: Final = 20
_SOS: Final = 0xDA
_LEAST_SOS_BYTES: Final = 8
_EOI: Final = 0xD9
_FRAMES: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL: Final = (0xC0, 0xC1, 0xC9)
COEFFICIENTS: Final = 64  # of a block


class Segment(NamedTuple):
    """One marker with its parameters, which lie at data[start:end]."""

    marker: int
    start: int
    end: int


class Scans(NamedTuple):
    """The scans of a file, or of as much of it as was looked at."""

    number: int
    coefficients: int  # of a block, in all channels, that the scans give to the last bit
    ended: bool  # whether the end marker is there


def segments(data: Bytes) -> Iterator[Segment]:
    """Up to the first scan, and with it. Raises CorruptImage for more than any picture has."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at, at + _MAX_FILLING_BYTES)
        if found is None or found[1][0] == _EOI:
            raise CorruptImage("the JPEG image has no scan")
        start = found.end() + 2
        at = found.end() + struct.unpack_from(">H", data, found.end())[0]
        yield Segment(found[1][0], start, at)
        if found[1][0] == _SOS:
            return
    raise CorruptImage(f"the JPEG image has more than {_MAX_SEGMENTS} segments before its first scan")


def scans(data: Bytes, *, briefly: bool = False) -> Scans:
    """Looks for scans where they can be: not inside of segments, nor behind the end marker; or `briefly`, only so far.

    Raises CorruptImage for more than MAX_SCANS, or more segments than any picture has.
    """
    *_, first = segments(data)
    stop = min(first.start + _LOOK_BYTES, len(data)) if briefly else len(data)
    number, coefficients, at = 1, _given(data, first), first.end
    for _ in range(_BRIEFLY if briefly else _MAX_SEGMENTS + len(data) // _LOOK_BYTES):
        if at >= stop:
            return Scans(number, coefficients, ended=False)
        found = _MARKER.search(data, at, min(at + _LOOK_BYTES, stop))
        if found is None:
            at += _LOOK_BYTES - 1  # a marker may lie across
            continue
        if found[1][0] == _EOI:
            return Scans(number, coefficients, ended=True)
        at = found.end()
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, _LEAST_SOS_BYTES) > len(data):
            return Scans(number, coefficients, ended=False)
        if found[1][0] == _SOS:
            number += 1
            coefficients += _given(data, Segment(_SOS, at + 2, at + length))
            if number > MAX_SCANS:
                raise CorruptImage(f"the JPEG image has more than {MAX_SCANS} scans")
        at += length
    if briefly:
        return Scans(number, coefficients, ended=False)
    raise CorruptImage(f"the JPEG image has more than {_MAX_SEGMENTS} segments")


def _given(data: Bytes, scan: Segment) -> int:
    channels = data[scan.start]
    first, last, low_bit = data[scan.start + 1 + 2 * channels : scan.start + 4 + 2 * channels]
    return 0 if low_bit & 15 else channels * (min(last, COEFFICIENTS - 1) - first + 1)


def parse(data: Bytes) -> Header:
    """Raises CorruptImage, or struct.error or IndexError where the bytes end."""
    frame, scan = None, None
    for segment in segments(data):
        if segment.marker in _FRAMES and frame is None:
            frame = segment
        scan = segment
    if frame is None or scan is None:
        raise CorruptImage("the JPEG image has no frame before its first scan")
    bits, height, width, channels = struct.unpack_from(">BHHB", data, frame.start)
    if bits != 8 or channels not in (1, 3, 4) or frame.marker not in (*_SEQUENTIAL, 0xC2, 0xCA):
        raise CorruptImage(f"a JPEG image of this kind is not read: {channels} channels of {bits} bits")
    sampling = [data[frame.start + 7 + 3 * channel] for channel in range(channels)]
    areas = [(factors >> 4) * (factors & 15) for factors in sampling]
    samples = sum(areas) / max(max(factors >> 4 for factors in sampling) * max(factors & 15 for factors in sampling), 1)
    one_pass = frame.marker in _SEQUENTIAL and data[scan.start] == channels
    return Header(
        "JPEG",
        width,
        height,
        channels,
        coding="one pass" if one_pass else "many scans",
        scans=1 if one_pass else _scans_to_expect(data),
        samples=samples,
        file_bytes=len(data),
    )


def _scans_to_expect(data: Bytes) -> int:
    seen = scans(data, briefly=True)
    return seen.number if seen.ended else min(seen.number + _USUAL_SCANS, MAX_SCANS)
