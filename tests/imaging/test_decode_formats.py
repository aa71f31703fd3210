"""Formats and modes beyond the plain ones of test_decode.py."""

import io
import struct
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg
from PIL import Image

from app.imaging.decode import DecodeLimits, decode
from tests.imaging.files import bmp, encode, in_mode, picture, png, png_chunk, tiff, with_frames

LIMITS = DecodeLimits()
LOSSLESS: dict[str, dict[str, object]] = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}, "BMP": {}, "TIFF": {}}


def pillow(data: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_a_tiff_in_another_colour_space(mode: str) -> None:
    image = in_mode(mode)
    np.testing.assert_array_equal(decode(encode(image, "TIFF"), LIMITS), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "YCbCr"])
def test_a_jpeg_saved_from_another_mode(mode: str) -> None:
    data = encode(in_mode(mode), "JPEG")
    np.testing.assert_array_equal(decode(data, LIMITS), pillow(data))


def over_white(image: Image.Image) -> npt.NDArray[np.float64]:
    values = np.asarray(image.convert("RGBA")).astype(np.float64)
    alpha = values[:, :, 3:] / 255
    return values[:, :, :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize(("subsampling", "progressive", "mode"), [*product([0, 1, 2], [False, True], ["RGB", "L"])])
def test_the_fast_jpeg_path_gives_the_same_pixels(
    subsampling: int, progressive: bool, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(picture(131, 67).convert(mode), "JPEG", subsampling=subsampling, progressive=progressive)
    fast = decode(data, LIMITS)
    np.testing.assert_array_equal(simplejpeg.decode_jpeg(data, colorspace="RGB"), fast)  # that path does take it
    np.testing.assert_array_equal(fast, pillow(data))

    def objects(*args: object, **kwargs: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", objects)
    np.testing.assert_array_equal(decode(data, LIMITS), fast)


def test_the_fast_jpeg_path_may_not_disagree_about_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(picture(), "JPEG")
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *args, **kwargs: np.zeros((1, 2, 3), np.uint8))
    np.testing.assert_array_equal(decode(data, LIMITS), pillow(data))


def test_a_cmyk_jpeg_of_adobe_is_stored_inverted() -> None:
    inks = Image.merge("CMYK", [Image.new("L", (16, 16), value) for value in (0, 255, 255, 0)])
    plain = encode(inks, "JPEG", quality=100)
    assert b"Adobe" in plain
    assert abs(decode(plain, LIMITS).astype(int) - (255, 0, 0)).max() <= 2


@pytest.mark.parametrize(("format_name", "mode"), [*product(["PNG", "TIFF"], ["LA", "RGBA"]), ("WEBP", "RGBA")])
def test_what_is_transparent_shows_white(format_name: str, mode: str) -> None:
    image = in_mode(mode)
    pixels = decode(encode(image, format_name, **LOSSLESS[format_name]), LIMITS)
    assert abs(pixels - over_white(image)).max() <= 0.51  # rounded, to the nearest


def test_a_palette_may_be_transparent_in_part() -> None:
    image = in_mode("P")
    alphas = bytes(np.random.default_rng(0).integers(0, 256, 256, dtype=np.uint8))
    image.info["transparency"] = alphas
    expected = over_white(image)
    assert abs(decode(encode(image, "PNG", transparency=alphas), LIMITS) - expected).max() <= 0.51


@pytest.mark.parametrize("format_name", ["PNG", "GIF"])
def test_one_colour_may_be_transparent(format_name: str) -> None:
    image = Image.new("P", (9, 5), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((3, 2), 0)
    expected = np.full((5, 9, 3), (0, 0, 255), np.uint8)
    expected[2, 3] = 255
    np.testing.assert_array_equal(decode(encode(image, format_name, transparency=0), LIMITS), expected)


def test_one_colour_of_an_rgb_png_may_be_transparent() -> None:
    data = png(2, 1, png_chunk(b"tRNS", b"\0\x01\0\x02\0\x03"), rows=b"\0\x01\x02\x03\x04\x05\x06")
    assert decode(data, LIMITS).tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize(
    ("format_name", "image"),
    [
        ("PNG", in_mode("I;16")),
        ("TIFF", in_mode("I;16")),
        ("TIFF", Image.frombytes("I;16B", (37, 26), np.asarray(in_mode("I;16")).astype(">u2").tobytes())),
        ("TIFF", in_mode("I")),
        ("TIFF", in_mode("F")),
        ("TIFF", Image.fromarray(np.asarray(in_mode("L")).astype(np.float32))),
    ],
    ids=["PNG 16", "TIFF 16", "TIFF 16 big-endian", "TIFF 32", "TIFF float to 1", "TIFF float to 255"],
)
def test_deep_grey_is_cut_to_a_byte(format_name: str, image: Image.Image) -> None:
    data = encode(image, format_name)
    assert Image.open(io.BytesIO(data)).mode in ("I;16", "I;16B", "I", "F")
    np.testing.assert_array_equal(decode(data, LIMITS), np.asarray(in_mode("L").convert("RGB")))


def test_deep_grey_outside_its_range_is_clipped() -> None:
    integers = Image.fromarray(np.array([[-5, 0, 255, 256, 65535, 1_000_000]], np.int32))
    assert decode(encode(integers, "TIFF"), LIMITS)[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
    floats = Image.fromarray(np.array([[-0.5, 0.0, 0.5, 1.0, np.nan, np.inf]], np.float32))
    assert decode(encode(floats, "TIFF"), LIMITS)[0, :, 0].tolist() == [0, 0, 128, 255, 0, 0]


def test_the_orientation_of_a_png_may_stand_behind_its_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data, end = encode(picture(), "PNG"), png_chunk(b"IEND", b"")
    late = data.removesuffix(end) + png_chunk(b"eXIf", exif.tobytes()[6:]) + end
    np.testing.assert_array_equal(decode(late, LIMITS), np.asarray(picture())[::-1, ::-1])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as decode.py has it, but pytest sets its own
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + b"\xff" * 40])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_does_not_cost_the_picture(format_name: str, exif: bytes) -> None:
    data = encode(picture(), format_name, **LOSSLESS.get(format_name, {}))
    broken = encode(picture(), format_name, exif=exif, **LOSSLESS.get(format_name, {}))
    np.testing.assert_array_equal(decode(broken, LIMITS), decode(data, LIMITS))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [
        (2, 4, b"six\0"),
        (5, 1, bytes(4)),
        (3, 1, b"\0\0\0\0"),
        (3, 1, b"\x09\0\0\0"),
        (99, 1, bytes(4)),
        (3, 0, bytes(4)),
    ],
)
def test_a_senseless_orientation_does_not_cost_the_picture(kind: int, count: int, value: bytes) -> None:
    exif = b"II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, kind, count) + value + bytes(4)
    data = encode(picture(), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(data, LIMITS), np.asarray(picture()))


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_of_three_frames_is_the_image(format_name: str) -> None:
    data = with_frames(format_name, **LOSSLESS.get(format_name, {}))
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 3
    expected = picture() if format_name != "GIF" else Image.open(io.BytesIO(encode(picture(), "GIF"))).convert("RGB")
    np.testing.assert_array_equal(decode(data, LIMITS), np.asarray(expected))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_tiff_may_be_compressed(compression: str) -> None:
    data = encode(picture(), "TIFF", compression=compression)
    np.testing.assert_array_equal(decode(data, LIMITS), pillow(data))


def test_a_fax_is_read() -> None:
    data = encode(in_mode("1"), "TIFF", compression="group4")
    np.testing.assert_array_equal(decode(data, LIMITS), np.asarray(in_mode("1").convert("RGB")))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_what_follows_the_image_is_ignored(format_name: str) -> None:
    data = encode(picture(), format_name)
    np.testing.assert_array_equal(decode(data + b"\xff\xd8\xff garbage" * 9, LIMITS), decode(data, LIMITS))


def test_a_bitmap_may_be_upside_down() -> None:
    rows = b"\1\2\3\0" + b"\4\5\6\0"  # blue, green, red, and padding to four bytes
    assert decode(bmp(1, 2, rows), LIMITS).tolist() == [[[6, 5, 4]], [[3, 2, 1]]]
    assert decode(bmp(1, -2, rows), LIMITS).tolist() == [[[3, 2, 1]], [[6, 5, 4]]]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_a_large_image_is_converted_in_bands(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, object] = {"transparency": 3} if mode == "P" else {}
    data = encode(in_mode(mode), "PNG", **options)
    whole = decode(data, LIMITS)
    for band_px in (1, 37, 100, 37 * 25):
        monkeypatch.setattr("app.imaging.colour._BAND_PX", band_px)
        np.testing.assert_array_equal(decode(data, LIMITS), whole)


def test_tags_that_nobody_knows_are_passed_over() -> None:
    assert decode(tiff(1, 1, {50_000: (99, 7, 1), 60_000: (2, 0, 0)}), LIMITS).shape == (1, 1, 3)
