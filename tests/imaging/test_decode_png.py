"""PNG: transparency at every depth, and chunks that must not cost the picture."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from app.errors import CorruptImage
from app.imaging.decode import DecodeLimits, Pixels, decode
from tests.imaging.files import encode, in_mode, picture, png_chunk

LIMITS = DecodeLimits()
MAGIC = b"\x89PNG\r\n\x1a\n"
GREY, RGB = 0, 2


def packed(samples: npt.NDArray[np.uint16], bits: int) -> bytes:
    """Rows of samples of 1 … 16 bits, each row with its filter byte."""
    rows = samples.reshape(len(samples), -1)
    if bits >= 8:
        body = rows.astype(">u2" if bits == 16 else np.uint8)
        return b"".join(b"\0" + row.tobytes() for row in body)
    places = (rows[:, :, None] >> np.arange(bits - 1, -1, -1) & 1).reshape(len(rows), -1).astype(np.uint8)
    return b"".join(b"\0" + row.tobytes() for row in np.packbits(places, axis=1))


def png(samples: npt.NDArray[np.uint16], bits: int, transparent: tuple[int, ...]) -> bytes:
    """Grey (height, width) or RGB (height, width, 3), with one value that is transparent."""
    colour = RGB if samples.ndim == 3 else GREY
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, colour, 0, 0, 0)
    clear = png_chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    body = png_chunk(b"IDAT", zlib.compress(packed(samples, bits)))
    return MAGIC + png_chunk(b"IHDR", header) + clear + body + png_chunk(b"IEND", b"")


def shown(samples: npt.NDArray[np.uint16], bits: int, transparent: tuple[int, ...]) -> Pixels:
    """By the PNG specification: samples are compared at their full depth, then stretched to eight bits, or cut."""
    planes = samples if samples.ndim == 3 else samples[:, :, None].repeat(3, axis=2)
    stretched = planes >> 8 if bits == 16 else planes.astype(int) * 255 // (2**bits - 1)
    return np.where((planes == transparent).all(axis=2, keepdims=True), 255, stretched).astype(np.uint8)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_grey_may_be_transparent(bits: int, share: float) -> None:
    top = 2**bits - 1
    samples = np.random.default_rng(0).integers(0, top, (9, 13), np.uint16, endpoint=True)
    transparent = (round(share * top),)
    samples[2:4, 3:7] = transparent[0]
    if bits == 16:
        samples[5, 5] = transparent[0] ^ 1  # of the same high byte
    np.testing.assert_array_equal(decode(png(samples, bits, transparent), LIMITS), shown(samples, bits, transparent))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("transparent", [(0, 0, 0), (1, 2, 3), (200, 100, 50)])
def test_a_colour_may_be_transparent(bits: int, transparent: tuple[int, ...]) -> None:
    samples = np.random.default_rng(0).integers(0, 2**bits, (9, 13, 3), np.uint16)
    samples[2:4, 3:7] = transparent
    samples[5, 5] = np.array(transparent) ^ (0, 0, 1)
    np.testing.assert_array_equal(decode(png(samples, bits, transparent), LIMITS), shown(samples, bits, transparent))


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(MAGIC)
    while at < len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        yield data[at + 4 : at + 8], data[at : at + length + 12]
        at += length + 12


def with_broken_sums(data: bytes, kind: bytes) -> bytes:
    return MAGIC + b"".join(raw[:-1] + bytes([raw[-1] ^ 1]) if name == kind else raw for name, raw in chunks(data))


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"pHYs", b"gAMA", b"tIME", b"abCd", b"eXIf"])
def test_an_ancillary_chunk_may_be_broken_or_vast(kind: bytes) -> None:
    sound = encode(picture(), "PNG")
    for content in (b"", b"x" * 9, b"x\0\0" + zlib.compress(bytes(3_000_000)), b"x" * 3_000_000):
        data = sound[:33] + png_chunk(kind, content) + sound[33:]
        for each in (data, with_broken_sums(data, kind)):
            np.testing.assert_array_equal(decode(each, LIMITS), np.asarray(picture()))


def test_a_transparent_colour_of_a_wrong_sum_is_none() -> None:
    image = in_mode("P")
    data = encode(image, "PNG", transparency=3)
    np.testing.assert_array_equal(decode(with_broken_sums(data, b"tRNS"), LIMITS), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE"])
def test_what_makes_the_picture_may_not_be_broken(kind: bytes) -> None:
    with pytest.raises(CorruptImage):
        decode(with_broken_sums(encode(in_mode("P"), "PNG"), kind), LIMITS)


def test_pixels_may_be_cut_into_many_chunks() -> None:
    header, pixels, end = chunks(encode(picture(), "PNG"))
    pieces = [png_chunk(b"IDAT", pixels[1][8:-4][at : at + 5]) for at in range(0, len(pixels[1]) - 12, 5)]
    data = MAGIC + header[1] + b"".join(pieces) + end[1]
    np.testing.assert_array_equal(decode(data, LIMITS), np.asarray(picture()))
