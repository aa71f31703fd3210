import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from app.errors import CorruptImage, EmptyBody, NotAnImage, RequestError, TooManyPixels
from app.imaging.decode import DecodeLimits, Pixels, decode

# Pillow warns of damage that it can live with.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
LIMITS = DecodeLimits(1_000_000)


def scene(mode: str = "RGB", size: tuple[int, int] = (37, 23)) -> Image.Image:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    planes = np.stack([x * 6 % 256, y * 9 % 256, (x * y) % 256], axis=2).astype(np.uint8)
    return Image.fromarray(planes).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reopened(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_formats_without_loss(kind: str, mode: str) -> None:
    data = encoded(scene(mode), kind)
    assert np.array_equal(decode(data, LIMITS), reopened(data))


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"progressive": True}, {"quality": 100}, {"optimize": True}]
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_pixels_are_pillows(mode: str, options: dict[str, Any]) -> None:
    data = encoded(scene(mode), "JPEG", **options)
    assert np.array_equal(decode(data, LIMITS), reopened(data))
    assert np.array_equal(decode(data + b"trailing rubbish", LIMITS), reopened(data))


def test_cmyk_jpeg() -> None:
    data = encoded(scene("CMYK"), "JPEG")
    assert np.array_equal(decode(data, LIMITS), reopened(data))


def test_webp() -> None:
    data = encoded(scene(), "WEBP", lossless=True)
    assert np.array_equal(decode(data, LIMITS), np.asarray(scene()))


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("TIFF", "RGBA"), ("WEBP", "RGBA")])
def test_transparent_parts_show_white(kind: str, mode: str) -> None:
    image = scene(mode)
    alpha = np.zeros((23, 37), np.uint8)
    alpha[:, 10:] = 255
    image.putalpha(Image.fromarray(alpha))
    pixels = decode(encoded(image, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})), LIMITS)
    assert (pixels[:, :10] == 255).all()
    assert np.array_equal(pixels[:, 10:], np.asarray(image.convert("RGB"))[:, 10:])


def test_half_transparent_is_half_white() -> None:
    assert decode(encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 51)), "PNG"), LIMITS).tolist() == [[[204, 204, 204]]]


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    data = encoded(image, "PNG", transparency=0)
    assert decode(data, LIMITS).tolist() == [[[255, 255, 255], [0, 255, 0]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_the_high_byte(kind: str) -> None:
    values = np.array([[0, 255, 256, 0x1234, 0xFFFF]], np.uint16)
    pixels = decode(encoded(Image.fromarray(values), kind), LIMITS)
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 0x12, 0xFF]


def test_floats() -> None:
    ones = Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32))
    assert decode(encoded(ones, "TIFF"), LIMITS)[0, :, 0].tolist() == [0, 128, 255, 0]
    bytes_ = Image.fromarray(np.array([[-5.0, 77.4, 900.0]], np.float32))
    assert decode(encoded(bytes_, "TIFF"), LIMITS)[0, :, 0].tolist() == [0, 77, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_cameras_rotation_is_undone(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(scene(), kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(decode(data, LIMITS), np.asarray(expected))


def test_a_broken_exif_block_does_not_cost_the_picture() -> None:
    data = encoded(scene(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\x01" * 40)
    assert np.array_equal(decode(data, LIMITS), reopened(data))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_of_several_frames_the_first(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (decode(data, LIMITS) == (255, 0, 0)).all()


@pytest.mark.parametrize("data", [b"x", b"<svg/>", b"%PDF-1.7\n", b"PK\3\4", b"\0" * 100, b"GIF", "ünïcode".encode()])
def test_what_is_no_image(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        decode(data, LIMITS)


def test_no_bytes() -> None:
    with pytest.raises(EmptyBody):
        decode(b"", LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_cut_short_at_any_length(kind: str) -> None:
    data = encoded(scene(size=(64, 48)), kind)
    whole = decode(data, LIMITS)
    for length in [*range(1, 60), *range(60, len(data), max(1, len(data) // 40))]:
        try:
            pixels = decode(data[:length], LIMITS)
        except (CorruptImage, NotAnImage):
            continue
        assert np.array_equal(pixels, whole), f"{length} of {len(data)} bytes gave another picture"


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([encoded(scene(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_give_a_picture_or_a_clear_error(data: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(data)] = value
    try:
        pixels = decode(bytes(damaged), LIMITS)
    except RequestError:
        return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bombs() -> dict[str, bytes]:
    side = 30_000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
        + chunk(b"IEND", b"")
    )
    gif = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0" * 6 + b","
    gif += struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00;"
    bmp = (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    )
    return {"png": png, "gif": gif, "bmp": bmp + b"\0" * 100}


@pytest.mark.parametrize("kind", ["png", "gif", "bmp"])
def test_a_bomb_is_refused_by_its_header(kind: str) -> None:
    with pytest.raises(TooManyPixels, match=r"30000 x 30000|pixels"):
        decode(bombs()[kind], DecodeLimits())


@pytest.mark.parametrize("size", [(65_536, 1), (1, 65_536)])
def test_a_side_may_be_as_long_as_a_jpegs(size: tuple[int, int]) -> None:
    with pytest.raises(TooManyPixels, match="65535 for a side"):
        decode(encoded(Image.new("RGB", size), "PNG"), DecodeLimits())
    longest = (min(size[0], 65_535), min(size[1], 65_535))
    assert decode(encoded(Image.new("RGB", longest), "PNG"), DecodeLimits()).shape == (longest[1], longest[0], 3)


def test_the_limit_is_exact() -> None:
    data = encoded(scene(size=(40, 25)), "PNG")
    assert decode(data, DecodeLimits(1000)).shape == (25, 40, 3)
    with pytest.raises(TooManyPixels, match="40 x 25"):
        decode(data, DecodeLimits(999))
