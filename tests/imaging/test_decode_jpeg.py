"""Where a JPEG's scans lie and end; what only looks like one, and what is missing."""

import struct

import numpy as np
import pytest

from app.errors import CorruptImage
from app.imaging.decode import DecodeLimits, decode
from tests.imaging.files import encode, jpeg_of_many_scans, picture

LIMITS = DecodeLimits()
KINDS = {
    "one pass": encode(picture(131, 67), "JPEG"),
    "progressive": encode(picture(131, 67), "JPEG", progressive=True),
    "progressive 4:4:4": encode(picture(131, 67), "JPEG", progressive=True, subsampling=0, quality=95),
    "grey": encode(picture(131, 67).convert("L"), "JPEG"),
    "CMYK": encode(picture(131, 67).convert("CMYK"), "JPEG"),
    "CMYK progressive": encode(picture(131, 67).convert("CMYK"), "JPEG", progressive=True),
    "restarts": encode(picture(131, 67), "JPEG", restart_marker_rows=1),
}
SCAN, END = b"\xff\xda", b"\xff\xd9"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("marker", [0xFE, 0xE1, 0xE5, 0xEF], ids=["COM", "APP1", "APP5", "APP15"])
def test_a_segment_may_hold_anything(kind: str, marker: int) -> None:
    data = KINDS[kind]
    for content in (SCAN * 200, END * 3, b"\xff\xc0" * 9, data):
        np.testing.assert_array_equal(
            decode(data[:2] + segment(marker, content) + data[2:], LIMITS), decode(data, LIMITS)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_so_may_what_follows_the_end(kind: str) -> None:
    for trailer in (SCAN * 200, b"\0\0\0\x18ftypmp42" + SCAN * 120, KINDS["progressive"], END):
        np.testing.assert_array_equal(decode(KINDS[kind] + trailer, LIMITS), decode(KINDS[kind], LIMITS))


def test_segments_between_scans_are_passed_over() -> None:
    data = KINDS["progressive"]
    second = data.index(b"\xff\xc4", data.index(SCAN))
    broken_up = data[:second] + segment(0xFE, SCAN * 200 + END) + data[second:]
    np.testing.assert_array_equal(decode(broken_up, LIMITS), decode(data, LIMITS))


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_marker_alone_may_be_missing(kind: str) -> None:
    data = KINDS[kind]
    np.testing.assert_array_equal(decode(data.removesuffix(END), LIMITS), decode(data, LIMITS))
    np.testing.assert_array_equal(decode(data[:-1], LIMITS), decode(data, LIMITS))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_else_may(kind: str) -> None:
    data = KINDS[kind]
    for length in range(data.index(SCAN) + 20, len(data) - 5):
        with pytest.raises(CorruptImage, match="truncated"):
            decode(data[:length], LIMITS)


def test_a_whole_scan_may_not_be_missing() -> None:
    data = KINDS["progressive"]
    without_the_last = data[: data.rindex(b"\xff\xc4")]
    with pytest.raises(CorruptImage, match="truncated"):
        decode(without_the_last, LIMITS)


def test_scans_are_counted_wherever_they_lie() -> None:
    far = segment(0xFE, b"x" * 65_000) * 3
    data = jpeg_of_many_scans(0)
    end = data.rindex(END)
    last = data[data.rindex(SCAN) : end]
    assert decode(data[:end] + far + last * 10 + END, LIMITS).shape == (64, 64, 3)
    with pytest.raises(CorruptImage, match="scans"):
        decode(data[:end] + far + last * 60 + END, LIMITS)
