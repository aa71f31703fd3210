"""AVIF, HEIC, BMP and GIF: depths, alpha and rotation."""

import io
import struct

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
import pyvips
from PIL import Image, ImageOps

from app.errors import CorruptImage, TooManyPixels
from app.imaging.decode import DecodeLimits, decode
from tests.imaging.files import encode, in_mode, picture, with_frames

LIMITS = DecodeLimits()
PHOTO = picture(96, 64)


def heic(image: Image.Image, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    file = pillow_heif.from_pillow(image)
    if exif is not None:
        file.info["exif"] = exif.tobytes()
    file.save(buffer, quality=95)
    return buffer.getvalue()


def heic_of_ten_bits() -> bytes:
    buffer = io.BytesIO()
    deep = (np.asarray(PHOTO).astype(np.uint16) << 8).tobytes()
    pillow_heif.from_bytes("RGB;16", PHOTO.size, deep).save(buffer, quality=95)
    return buffer.getvalue()


def avif_of_ten_bits() -> bytes:
    values = pyvips.Image.new_from_array(np.asarray(PHOTO).astype(np.uint16) * 257, interpretation="rgb16")
    data: bytes = values.heifsave_buffer(compression="av1", bitdepth=10, Q=95, effort=0, subsample_mode="off")
    return data


def over_white(image: Image.Image) -> npt.NDArray[np.float64]:
    values = np.asarray(image.convert("RGBA")).astype(np.float64)
    alpha = values[:, :, 3:] / 255
    shown: npt.NDArray[np.float64] = values[:, :, :3] * alpha + 255 * (1 - alpha)
    return shown


def with_alpha() -> Image.Image:
    image = PHOTO.copy()
    image.putalpha(picture(96, 64, seed=1).convert("L"))
    return image


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(PHOTO, "AVIF", quality=95), PHOTO),
        (encode(PHOTO.convert("L"), "AVIF", quality=95), PHOTO.convert("L")),
        (encode(with_alpha(), "AVIF", quality=95), with_alpha()),
        (avif_of_ten_bits(), PHOTO),
        (encode(PHOTO, "AVIF", quality=95, save_all=True, append_images=[picture(96, 64, seed=5)]), PHOTO),
        (heic(PHOTO), PHOTO),
        (heic(PHOTO.convert("L")), PHOTO.convert("L")),
        (heic(with_alpha()), with_alpha()),
        (heic_of_ten_bits(), PHOTO),
        (heic(PHOTO.crop((0, 0, 95, 63))), PHOTO.crop((0, 0, 95, 63))),
    ],
    ids=[
        "AVIF",
        "grey AVIF",
        "AVIF alpha",
        "AVIF 10",
        "AVIF film",
        "HEIC",
        "grey HEIC",
        "HEIC alpha",
        "HEIC 10",
        "odd HEIC",
    ],
)
def test_it_is_seen_as_it_is(data: bytes, expected: Image.Image) -> None:
    pixels = decode(data, LIMITS)
    assert pixels.shape == (expected.height, expected.width, 3)
    assert np.abs(pixels - over_white(expected)).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_once(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = PHOTO.copy()
    turned.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    for data in (heic(PHOTO, exif), encode(PHOTO, "AVIF", quality=95, exif=exif)):  # the latter takes out the tag
        pixels = decode(data, LIMITS)
        assert pixels.shape == upright.shape
        assert np.abs(pixels - upright).mean() < 6


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_frame_may_not_be_larger_than_the_file_says(kind: str) -> None:
    """An AV1 bitstream has a size of its own, by which its decoder goes, however small the file calls it."""
    image = Image.new("RGB", (4096, 4096))
    data = encode(image, "AVIF", speed=10) if kind == "AVIF" else heic(image)
    said = b"ispe" + struct.pack(">III", 0, 4096, 4096)
    assert said in data
    smaller = data.replace(said, b"ispe" + struct.pack(">III", 0, 64, 64))
    with pytest.raises(CorruptImage):
        decode(smaller, LIMITS)
    with pytest.raises(TooManyPixels):
        decode(data, DecodeLimits(max_pixels=4095 * 4096))


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_cut_short_it_is_never_half_a_picture(kind: str) -> None:
    data = encode(PHOTO, "AVIF") if kind == "AVIF" else heic(PHOTO)
    whole = decode(data, LIMITS)
    for length in range(30, len(data), len(data) // 40):
        try:
            pixels = decode(data[:length], LIMITS)
        except CorruptImage:
            continue
        np.testing.assert_array_equal(pixels, whole)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_vast_exif_block_costs_an_avif_nothing() -> None:
    entries = b"".join(struct.pack("<HHII", tag, 7, 700_000, 8) for tag in range(60_000))
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 60_000) + entries
    data = encode(PHOTO, "AVIF", exif=exif)
    assert len(data) > 700_000
    np.testing.assert_array_equal(decode(data, LIMITS), decode(encode(PHOTO, "AVIF"), LIMITS))


def bmp32(version_bytes: int, alphas: npt.NDArray[np.uint8]) -> bytes:
    """32 bits a pixel with masks, an alpha mask among them from version 4 on."""
    height, width = alphas.shape
    colours = np.asarray(PHOTO.crop((0, 0, width, height)))
    rows = np.dstack([colours[:, :, ::-1], alphas])[::-1].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    compression = 3 if version_bytes > 40 else 0
    info = struct.pack("<IiiHHIIiiII", version_bytes, width, height, 1, 32, compression, len(rows), 0, 0, 0, 0)
    info = (info + (masks if version_bytes > 40 else b"")).ljust(version_bytes, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(rows), 0, 0, 14 + len(info)) + info + rows


@pytest.mark.parametrize("version_bytes", [40, 56, 108, 124])
def test_a_bitmap_of_no_alpha_at_all_is_opaque(version_bytes: int) -> None:
    data = bmp32(version_bytes, np.zeros((9, 13), np.uint8))
    np.testing.assert_array_equal(decode(data, LIMITS), np.asarray(PHOTO)[:9, :13])


@pytest.mark.parametrize("version_bytes", [108, 124])
def test_a_bitmap_of_some_alpha_is_not(version_bytes: int) -> None:
    alphas = np.zeros((9, 13), np.uint8)
    alphas[:, 4:] = 255
    pixels = decode(bmp32(version_bytes, alphas), LIMITS)
    assert (pixels[:, :4] == 255).all()
    np.testing.assert_array_equal(pixels[:, 4:], np.asarray(PHOTO)[:9, 4:13])


@pytest.mark.parametrize("count", [1, 2])
def test_a_gif_with_much_to_say_before_its_first_frame(count: int) -> None:
    data = encode(in_mode("P"), "GIF", transparency=7, comment=b"x" * 2000)
    plain = encode(in_mode("P"), "GIF", transparency=7)
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    comment = b"\x21\xfe" + (b"\xff" + b"\x2c\x21\xf9" * 85) * 9 + b"\0"
    np.testing.assert_array_equal(decode(data[:at] + comment * count + data[at:], LIMITS), decode(plain, LIMITS))


def test_the_first_frame_of_an_avif_film() -> None:
    assert np.abs(decode(with_frames("AVIF"), LIMITS).astype(int) - np.asarray(picture())).mean() < 12
