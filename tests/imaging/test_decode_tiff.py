"""Every kind of TIFF is read right or refused by name; tifffile, which wrote and reads them, is the witness."""

import io
import struct
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from app.errors import CorruptImage
from app.imaging.decode import DecodeLimits, Pixels, decode
from tests.imaging.files import encode, in_mode, picture

LIMITS = DecodeLimits()
SIZE = 48, 40
RGB = np.asarray(picture(*SIZE))
GREY = np.asarray(picture(*SIZE).convert("L"))
ALPHA = np.asarray(picture(*SIZE, seed=1).convert("L"))
DEPTHS: dict[str, Any] = {"8": np.uint8, "16": np.uint16, "32": np.uint32}


def deep(values: npt.NDArray[np.uint8], depth: str) -> Any:
    """Stretched so that the high byte is the value, and the bytes below it are something else."""
    if depth == "8":
        return values
    shift = 8 * (np.dtype(DEPTHS[depth]).itemsize - 1)
    return (values.astype(DEPTHS[depth]) << shift) + 77


def tiff(values: npt.NDArray[Any], **options: Any) -> bytes:
    """As tifffile writes it; read back by it, to be sure of what it is."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(buffer.getvalue())), values)
    return buffer.getvalue()


def over_white(colours: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    share = alpha[:, :, None] / 255
    result: npt.NDArray[np.float64] = colours * share + 255 * (1 - share)
    return result


def three(grey: Pixels) -> Pixels:
    return grey[:, :, None].repeat(3, axis=2)


def decoded_or_refused(data: bytes) -> Pixels | None:
    try:
        return decode(data, LIMITS)
    except CorruptImage as error:
        assert "TIFF" in str(error)
        return None


LAYOUTS = [*product("<>", [False, True], [None, (16, 16), (32, 48)], [None, "zlib"], ["8", "16", "32"])]


@pytest.mark.parametrize(("order", "big", "tile", "compression", "depth"), LAYOUTS)
def test_grey_whichever_end_is_white(order: Any, big: bool, tile: Any, compression: Any, depth: str) -> None:
    options = {"byteorder": order, "bigtiff": big, "tile": tile, "compression": compression}
    values = deep(GREY, depth)
    np.testing.assert_array_equal(decode(tiff(values, photometric="minisblack", **options), LIMITS), three(GREY))
    negative = np.iinfo(values.dtype).max - values
    np.testing.assert_array_equal(decode(tiff(negative, photometric="miniswhite", **options), LIMITS), three(GREY))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(("order", "big", "tile", "compression", "depth"), LAYOUTS)
def test_colours_together_or_apart(order: Any, big: bool, tile: Any, compression: Any, depth: str, planar: str) -> None:
    options = {"byteorder": order, "bigtiff": big, "tile": tile, "compression": compression}
    values = deep(RGB, depth)
    if planar == "separate":
        values = np.ascontiguousarray(np.moveaxis(values, 2, 0))
    pixels = decoded_or_refused(tiff(values, photometric="rgb", planarconfig=planar, **options))
    if pixels is None:
        assert (planar, tile is None) == ("separate", False)
        assert depth != "8" or (order, big) == (">", True)
    else:
        np.testing.assert_array_equal(pixels, RGB)


@pytest.mark.parametrize("extra", ["unassalpha", "unspecified"])
@pytest.mark.parametrize(("order", "depth", "planar"), [*product("<>", DEPTHS, ["contig", "separate"])])
def test_a_further_channel_is_alpha_only_if_it_says_so(order: Any, depth: str, planar: str, extra: str) -> None:
    options = {"byteorder": order, "extrasamples": [extra]}
    for colours, photometric in ((RGB, "rgb"), (GREY[:, :, None], "minisblack")):
        values = deep(np.dstack([colours, ALPHA]), depth)
        values = np.ascontiguousarray(np.moveaxis(values, 2, 0)) if planar == "separate" else values
        pixels = decoded_or_refused(tiff(values, photometric=photometric, planarconfig=planar, **options))
        shown = colours.repeat(3, axis=2) if colours.shape[2] == 1 else colours
        expected = over_white(shown, ALPHA) if extra == "unassalpha" else shown
        if pixels is None:
            assert (planar, photometric) == ("separate", "minisblack")
        else:
            assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("depth", ["8", "16"])
def test_premultiplied_alpha(depth: str) -> None:
    alpha = np.maximum(ALPHA, 40)
    values = np.dstack([RGB * (alpha[:, :, None] / 255), alpha]).round().astype(np.uint8)
    data = tiff(deep(values, depth), photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(decode(data, LIMITS) - over_white(RGB, alpha)).max() <= 6


@pytest.mark.parametrize(("order", "type_"), [*product("<>", ["float16", "float32", "float64"])])
def test_floats(order: Any, type_: str) -> None:
    values = (RGB / 255).astype(type_)
    for each, expected in ((values, RGB), (values[:, :, 0], three(RGB[:, :, 0]))):
        photometric = "rgb" if each.ndim == 3 else "minisblack"
        pixels = decoded_or_refused(tiff(np.ascontiguousarray(each), photometric=photometric, byteorder=order))
        if pixels is None:
            assert type_ != "float32"
        else:
            np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("type_", ["int8", "int16", "complex64", "uint64", "int64"])
@pytest.mark.parametrize("colour", [False, True])
def test_kinds_without_a_meaning_are_refused(type_: str, colour: bool) -> None:
    values = (RGB // 2 if colour else GREY // 2).astype(type_)
    pixels = decoded_or_refused(tiff(values, photometric="rgb" if colour else "minisblack"))
    assert pixels is None or (type_, colour) == ("int16", False)


def test_a_signed_grey_of_sixteen_bits_counts_from_zero_as_an_unsigned_one() -> None:
    values = np.array([[-5, 0, 255, 256, 0x7FFF]], np.int16)
    assert decode(tiff(values, photometric="minisblack"), LIMITS)[0, :, 0].tolist() == [0, 0, 0, 1, 127]


def bits_of_grey(values: npt.NDArray[np.int64], bits: int, photometric: int, fill_order: int = 1) -> bytes:
    """An uncompressed grey TIFF of any depth, in one strip, the rows padded to whole bytes."""
    places = (values[:, :, None] >> np.arange(bits - 1, -1, -1) & 1).reshape(len(values), -1).astype(np.uint8)
    packed = np.packbits(places, axis=1, bitorder="big" if fill_order == 1 else "little")
    rows = (packed.view(">u2").astype("<u2") if bits == 16 else packed).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 266: fill_order}
    tags |= {273: 8 + 2 + 11 * 12 + 4, 277: 1, 278: height, 279: len(rows), 284: 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + rows


@pytest.mark.parametrize("fill_order", [1, 2])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_grey_of_any_number_of_bits(bits: int, photometric: int, fill_order: int) -> None:
    top = 2**bits - 1
    values = np.random.default_rng(0).integers(0, top, (7, 24), endpoint=True)
    data = bits_of_grey(top - values if photometric == 0 else values, bits, photometric, fill_order)
    expected = three((values >> bits - 8 if bits > 8 else values * 255 // top).astype(np.uint8))
    pixels = decoded_or_refused(data)
    if pixels is None:
        assert bits == 12 or fill_order == 2
    else:
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette(bits: int) -> None:
    image = picture(*SIZE).quantize(2**bits)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    np.testing.assert_array_equal(decode(buffer.getvalue(), LIMITS), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw", "group3", "group4"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "CMYK", "I;16"])
def test_compressions(compression: str, mode: str) -> None:
    if compression.startswith("group") != (mode == "1") and compression.startswith("group"):
        pytest.skip("facsimile is black and white")
    image = in_mode(mode)
    data = encode(image, "TIFF", compression=compression)
    plain = decode(encode(image, "TIFF"), LIMITS)
    np.testing.assert_array_equal(decode(data, LIMITS), plain)


def test_a_directory_may_lie_anywhere_and_lead_nowhere() -> None:
    data = encode(picture(*SIZE), "TIFF")
    at = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[at : at + 2])[0]
    end = at + 2 + 12 * count
    for following in (at, 8, 2**32 - 1, len(data)):
        looped = data[:end] + struct.pack("<I", following) + data[end + 4 :]
        np.testing.assert_array_equal(decode(looped, LIMITS), RGB)


@pytest.mark.parametrize(
    ("values", "options", "reason"),
    [
        (1 - (GREY / 255).astype(np.float32), {"photometric": "miniswhite"}, "white is zero"),
        (
            np.dstack([RGB, ALPHA, ALPHA]),
            {"photometric": "rgb", "extrasamples": ["unspecified", "unassalpha"]},
            "without a meaning",
        ),
    ],
)
def test_what_no_decoder_reads_right_is_named(values: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(CorruptImage, match=reason):
        decode(tiff(values, **options), LIMITS)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("depth", ["8", "16"])
def test_inks(planar: str, depth: str) -> None:
    inks = np.dstack([RGB, ALPHA])
    values = deep(inks, depth)
    values = np.ascontiguousarray(np.moveaxis(values, 2, 0)) if planar == "separate" else values
    expected = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    np.testing.assert_array_equal(decode(tiff(values, photometric="separated", planarconfig=planar), LIMITS), expected)
