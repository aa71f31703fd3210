"""Files that real people have sent and that were once answered wrongly, each beside what it should look like."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.domain import PreprocessSpec
from app.errors import NotAnImage
from app.imaging import libheif
from app.imaging.decode import DecodeLimits, Pixels, decode
from app.imaging.resample import preprocess

INPUTS = Path(__file__).parent / "inputs"


def reference(name: str) -> Pixels:
    with Image.open(INPUTS / name) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("name", "looks_like", "most"),
    [
        ("jpeg_motion_photo_trailer_120xFFDA.jpg", "reference.jpg", 0),
        ("jpeg_without_eoi.jpg", "reference.jpg", 0),
        ("png_ztxt_2mb.png", "reference_rgb.png", 0),
        ("png_itxt_xmp_2mb.png", "reference_rgb.png", 0),
        ("png_iccp_2mb.png", "reference_rgb.png", 0),
        ("png_wrong_crc_in_phys.png", "reference_rgb.png", 0),
        ("png_gray16_trns_black.png", "reference_gray_left40_white.png", 1),
        ("png_gray2_trns_1.png", "reference_for_png_gray2_trns_1.png", 0),
        ("png_rgb16_trns.png", "reference_rgb_left40_white.png", 0),
        ("tiff_gray16_white_is_zero_le.tif", "reference_gray.png", 0),
        ("tiff_rgb16_planar_uncompressed.tif", "reference_rgb.png", 0),
        ("bmp32_v4_alpha_all_zero.bmp", "reference_rgb.png", 0),
        ("photo.heic", "reference_rgb.png", 30),
        ("photo.avif", "reference_rgb.png", 40),
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_picture_looks_as_it_should(name: str, looks_like: str, most: int, kind: type[bytes]) -> None:
    difference = np.abs(decode(kind((INPUTS / name).read_bytes()), DecodeLimits()).astype(int) - reference(looks_like))
    assert difference.max() <= most
    assert difference.mean() < 3


def test_a_telephones_fifty_megapixels_are_within_the_limits() -> None:
    out = np.zeros((224, 224, 3), np.uint8)
    preprocess((INPUTS / "png_8192x6144_50mp.png").read_bytes(), PreprocessSpec(), DecodeLimits(), out)
    assert (out == 255).all()


def test_without_the_library_heic_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    libheif._pillow_heif.cache_clear()
    with pytest.raises(NotAnImage, match="pillow-heif"):
        decode((INPUTS / "photo.heic").read_bytes(), DecodeLimits())
