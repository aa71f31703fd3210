"""A large picture, shrunk while it is decoded, looks like the whole of it resized; here "large" is made small."""

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
import skimage.data
from PIL import Image

from app.domain import PreprocessSpec
from app.errors import CorruptImage
from app.imaging.decode import DecodeLimits, Pixels, decode
from app.imaging.resample import preprocess
from tests.imaging.files import encode, png_chunk
from tests.imaging.test_decode_png import png
from tests.imaging.test_decode_tiff import deep, tiff

LIMITS = DecodeLimits()
SPEC = PreprocessSpec(112, 112)  # half of the usual size, so that what is lost in shrinking shows twice
PHOTO = Image.fromarray(skimage.data.astronaut()).resize((1409, 1061), Image.Resampling.LANCZOS)
GREY = np.asarray(PHOTO.convert("L"))
DEEP = np.asarray(PHOTO).astype(np.uint16) * 257


def with_alpha(image: Image.Image) -> Image.Image:
    """Clear at the left, opaque at the right."""
    image = image.copy()
    ramp = np.linspace(0, 255, image.width).astype(np.uint8)
    image.putalpha(Image.fromarray(np.broadcast_to(ramp, (image.height, image.width))))
    return image


def by_vips(values: npt.NDArray[Any], **options: Any) -> bytes:
    space = "grey16" if values.ndim == 2 else "rgb16"
    data: bytes = pyvips.Image.new_from_array(values, interpretation=space).pngsave_buffer(**options)
    return data


def orientated(number: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    return encode(PHOTO, kind, exif=exif)


CASES = {
    "JPEG": encode(PHOTO, "JPEG"),
    "JPEG progressive": encode(PHOTO, "JPEG", progressive=True, subsampling=0),
    "JPEG grey": encode(PHOTO.convert("L"), "JPEG"),
    "JPEG CMYK": encode(PHOTO.convert("CMYK"), "JPEG"),
    "JPEG without end": encode(PHOTO, "JPEG")[:-2],
    "JPEG turned": orientated(6, "JPEG"),
    "PNG": encode(PHOTO, "PNG"),
    "PNG grey": encode(PHOTO.convert("L"), "PNG"),
    "PNG 1 bit": encode(PHOTO.convert("1"), "PNG"),
    "PNG palette": encode(PHOTO.quantize(200), "PNG"),
    "PNG palette, a colour clear": encode(PHOTO.quantize(20), "PNG", transparency=3),
    "PNG alpha": encode(with_alpha(PHOTO), "PNG"),
    "PNG grey alpha": encode(with_alpha(PHOTO.convert("L")), "PNG"),
    "PNG 16": by_vips(DEEP),
    "PNG grey 16": by_vips(DEEP[:, :, 0]),
    "PNG interlaced": by_vips(DEEP, interlace=True),
    "PNG grey 2, one clear": png((GREY // 64).astype(np.uint16), 2, (1,)),
    "PNG grey 16, one clear": png(np.where(GREY < 100, 30_000, DEEP[:, :, 0]), 16, (30_000,)),
    "PNG 16, one clear": png(np.where(GREY[:, :, None] < 100, (1, 2, 3), DEEP).astype(np.uint16), 16, (1, 2, 3)),
    "PNG turned": orientated(8, "PNG"),
    "WebP": encode(PHOTO, "WEBP"),
    "WebP lossless": encode(PHOTO, "WEBP", lossless=True),
    "WebP alpha": encode(with_alpha(PHOTO), "WEBP", quality=95),
    "WebP lossless alpha": encode(with_alpha(PHOTO), "WEBP", lossless=True, exact=True),
    "WebP animated": encode(PHOTO, "WEBP", save_all=True, append_images=[Image.new("RGB", PHOTO.size)]),
    "WebP turned": orientated(5, "WEBP"),
    "TIFF": encode(PHOTO, "TIFF"),
    "TIFF LZW": encode(PHOTO, "TIFF", compression="tiff_lzw"),
    "TIFF JPEG": encode(PHOTO, "TIFF", compression="jpeg"),
    "TIFF fax": encode(PHOTO.convert("1"), "TIFF", compression="group4"),
    "TIFF palette": encode(PHOTO.quantize(200), "TIFF"),
    "TIFF CMYK": encode(PHOTO.convert("CMYK"), "TIFF"),
    "TIFF alpha": encode(with_alpha(PHOTO), "TIFF"),
    "TIFF white is zero": tiff(255 - GREY, photometric="miniswhite"),
    "TIFF 16 white is zero": tiff(65535 - deep(GREY, "16"), photometric="miniswhite", byteorder=">"),
    "TIFF 16 apart": tiff(np.ascontiguousarray(np.moveaxis(DEEP, 2, 0)), photometric="rgb", planarconfig="separate"),
    "TIFF 16 tiled": tiff(DEEP, photometric="rgb", tile=(64, 128), compression="zlib"),
    "TIFF float": tiff((np.asarray(PHOTO) / 255).astype(np.float32), photometric="rgb"),
    "TIFF turned": orientated(7, "TIFF"),
}


def seen(data: bytes, spec: PreprocessSpec = SPEC) -> npt.NDArray[np.int64]:
    out: Pixels = np.zeros((spec.height, spec.width, 3), np.uint8)
    preprocess(data, spec, LIMITS, out)
    return out.astype(np.int64)


@pytest.fixture
def every_picture_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.decode.LARGE_PX", 0)


@pytest.mark.parametrize("name", CASES)
def test_it_looks_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = seen(CASES[name])
    monkeypatch.setattr("app.imaging.decode.LARGE_PX", 0)
    shrunk = decode(CASES[name], LIMITS, lambda height, width: (256, 256))
    assert 256 <= min(shrunk.shape[:2]) < 400
    difference = np.abs(seen(CASES[name]) - exact)
    # Black and white round off at every step; floating point may not be shrunk by any but whole factors.
    coarse = any(word in name for word in ("1 bit", "fax", "float", "grey 2"))
    assert difference.mean() < (2.5 if coarse else 1.1)
    assert np.percentile(difference, 99) < (20 if coarse else 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_at_full_size_the_difference_is_below_one_of_255(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(PHOTO.resize((2817, 2115)), kind)
    exact = seen(data, PreprocessSpec())
    monkeypatch.setattr("app.imaging.decode.LARGE_PX", 0)
    assert np.abs(seen(data, PreprocessSpec()) - exact).mean() < 1


@pytest.mark.parametrize(
    "spec",
    [
        PreprocessSpec(144, 112, crop_mode="squash", crop_pct=1.0),
        PreprocessSpec(112, 140, crop_mode="border"),
        PreprocessSpec(112, 112, "area", resize_px=120, library="tensorflow"),
        PreprocessSpec(112, 112, resize_px=(150, 120), library="huggingface"),
    ],
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP", "TIFF turned"])
def test_whatever_is_made_of_it(name: str, spec: PreprocessSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = seen(CASES[name], spec)
    monkeypatch.setattr("app.imaging.decode.LARGE_PX", 0)
    assert np.abs(seen(CASES[name], spec) - exact).mean() < 1.5


@pytest.mark.usefixtures("every_picture_is_large")
@pytest.mark.parametrize("name", ["JPEG", "JPEG progressive", "PNG", "PNG interlaced", "WebP", "WebP lossless", "TIFF"])
def test_cut_short_it_is_never_half_a_picture(name: str) -> None:
    data = CASES[name]
    for length in range(len(data) // 9, len(data) - 20, len(data) // 9):
        with pytest.raises(CorruptImage):
            seen(data[:length])


@pytest.mark.usefixtures("every_picture_is_large")
def test_a_damaged_row_is_not_passed_over() -> None:
    data = bytearray(CASES["PNG"])
    data[len(data) // 2] ^= 0x55
    with pytest.raises(CorruptImage):
        seen(bytes(data))


@pytest.mark.usefixtures("every_picture_is_large")
@pytest.mark.parametrize("size", [(3000, 40), (40, 3000), (1, 900), (900, 1)])
def test_a_strip_is_not_shrunk_beyond_its_short_side(size: tuple[int, int]) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        assert (np.abs(seen(encode(Image.new("RGB", size, (10, 200, 90)), kind)) - (10, 200, 90)) <= 4).all()


def test_large_it_is_by_the_header() -> None:
    header = struct.pack(">IIBBBBB", 9000, 6000, 1, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    rows = io.BytesIO()
    Image.new("1", (9000, 6000), 1).save(rows, "PNG")
    assert (seen(rows.getvalue()) == 255).all()
    with pytest.raises(CorruptImage):
        seen(data)
