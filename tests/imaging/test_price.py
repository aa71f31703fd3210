"""What a picture costs is known from its header, before it costs anything; and what is too dear is refused."""

import io
import time
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.domain import PreprocessSpec
from app.errors import CorruptImage, TooManyPixels
from app.imaging.decode import decode
from app.imaging.header import Header, read_header
from app.imaging.price import DecodeLimits, check, price
from app.imaging.resample import preprocess
from tests.imaging.files import encode

PHOTO = Image.fromarray(skimage.data.astronaut()).resize((2000, 1500))
MEGABYTE = 2**20


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {"method": 0}),
        ("WEBP", {"lossless": True, "method": 0}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"speed": 10}),
    ],
)
def test_the_price_is_about_the_cost(kind: str, options: dict[str, object]) -> None:
    data = encode(PHOTO, kind, **options)
    out = np.empty((224, 224, 3), np.uint8)
    preprocess(data, PreprocessSpec(), DecodeLimits(), out)  # libraries are loaded on first use
    took_s = []
    for _ in range(3):
        started_at = time.process_time()
        preprocess(data, PreprocessSpec(), DecodeLimits(), out)
        took_s.append(time.process_time() - started_at)
    assert 0.1 < min(took_s) / price(read_header(data)).seconds < 3  # generous: other machines are others


def test_a_small_picture_is_cheap() -> None:
    cost = price(read_header(encode(PHOTO.resize((500, 375)), "JPEG")))
    assert cost.seconds < 0.006
    assert cost.nbytes < 8 * MEGABYTE


@pytest.mark.parametrize(
    ("header", "least_megabytes", "most_megabytes"),
    [
        (Header("JPEG", 8192, 6144, coding="one pass", samples=1.5), 2, 60),
        (Header("JPEG", 12_000, 10_000, coding="many scans", samples=1.5, scans=20), 360, 512),
        (Header("PNG", 8192, 6144, coding="plain"), 25, 90),
        (Header("PNG", 8192, 6144, coding="interlaced", band_px=8192 * 6144), 150, 250),
        (Header("WEBP", 8192, 6144, coding="lossy"), 12, 60),
        (Header("WEBP", 8192, 6144, coding="lossless"), 200, 300),
        (Header("HEIF", 8192, 6144), 320, 512),
        (Header("AVIF", 8192, 6144), 430, 512),
        (Header("GIF", 8192, 6144), 200, 400),
    ],
)
def test_fifty_megapixels_are_affordable(header: Header, least_megabytes: int, most_megabytes: int) -> None:
    assert least_megabytes <= price(header).nbytes / MEGABYTE <= most_megabytes
    check(header, DecodeLimits())


def test_more_of_anything_costs_more() -> None:
    header = Header("JPEG", 4000, 3000, coding="many scans", samples=1.5, scans=10, file_bytes=MEGABYTE)
    for changes in ({"width": 4001}, {"scans": 11}, {"samples": 3.0}, {"file_bytes": 2 * MEGABYTE}, {"channels": 4}):
        assert price(replace(header, **changes)).seconds > price(header).seconds


def test_limits() -> None:
    check(Header("PNG", 12_000, 10_000, coding="plain"), DecodeLimits())
    with pytest.raises(TooManyPixels, match="12001 x 10000.*120000000"):
        check(Header("PNG", 12_001, 10_000), DecodeLimits())
    with pytest.raises(TooManyPixels, match="65535 for a side"):
        check(Header("PNG", 1, 65_536), DecodeLimits())
    with pytest.raises(TooManyPixels, match=r"would take \d+ bytes of memory; the limit is 536870912"):
        check(Header("BMP", 12_000, 10_000, coding="plain"), DecodeLimits())
    with pytest.raises(TooManyPixels, match="limit is 1000$"):
        check(Header("JPEG", 100, 100), DecodeLimits(max_bytes=1000))
    for size in ((0, 5), (5, 0), (0, 0)):
        with pytest.raises(CorruptImage, match="nothing to look at"):
            check(Header("PNG", *size), DecodeLimits())


def test_a_limit_is_kept_by_the_decoder() -> None:
    data = encode(Image.new("RGB", (4000, 4000)), "PNG")
    with pytest.raises(TooManyPixels, match="bytes of memory"):
        decode(data, DecodeLimits(max_bytes=100 * MEGABYTE))
    assert decode(io.BytesIO(data).getvalue(), DecodeLimits()).shape == (4000, 4000, 3)
