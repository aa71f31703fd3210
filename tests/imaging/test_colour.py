"""Colours are taken as sRGB's, as timm does, unless the picture's own profile is to be applied."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from PIL import Image, ImageCms

from app.imaging.decode import DecodeLimits, Pixels, decode
from tests.imaging.files import encode, picture

AS_SRGB, CONVERTED = DecodeLimits(), DecodeLimits(convert_colour=True)
PHOTO = picture(96, 64)


def swapped() -> bytes:
    """An sRGB profile in which the primaries of red and blue are exchanged, so that nobody can overlook its use."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    at = {profile[i : i + 4]: i for i in range(132, 132 + 12 * profile[131], 12)}
    red, blue = profile[at[b"rXYZ"] + 4 : at[b"rXYZ"] + 12], profile[at[b"bXYZ"] + 4 : at[b"bXYZ"] + 12]
    changed = bytearray(profile)
    changed[at[b"rXYZ"] + 4 : at[b"rXYZ"] + 12], changed[at[b"bXYZ"] + 4 : at[b"bXYZ"] + 12] = blue, red
    return bytes(changed)


SWAPPED = swapped()
RGB = np.asarray(PHOTO)[:, :, ::-1]


def heic(profile: bytes) -> bytes:
    buffer = io.BytesIO()
    file = pillow_heif.from_pillow(PHOTO)
    file.info["icc_profile"] = profile
    file.save(buffer, quality=95)
    return buffer.getvalue()


CASES: dict[str, Any] = {
    "JPEG": encode(PHOTO, "JPEG", quality=98, subsampling=0, icc_profile=SWAPPED),
    "JPEG, a long profile": encode(PHOTO, "JPEG", quality=98, subsampling=0, icc_profile=SWAPPED + bytes(200_000)),
    "PNG": encode(PHOTO, "PNG", icc_profile=SWAPPED),
    "PNG palette": encode(PHOTO.quantize(256), "PNG", icc_profile=SWAPPED),
    "WebP": encode(PHOTO, "WEBP", lossless=True, icc_profile=SWAPPED),
    "TIFF": encode(PHOTO, "TIFF", icc_profile=SWAPPED),
    "AVIF": encode(PHOTO, "AVIF", quality=98, subsampling="4:4:4", icc_profile=SWAPPED),
    "HEIF": heic(SWAPPED),
}


def far(pixels: Pixels, expected: npt.NDArray[Any]) -> float:
    return float(np.abs(pixels.astype(int) - expected).mean())


@pytest.mark.parametrize("name", CASES)
def test_a_profile_is_applied_if_asked_for(name: str) -> None:
    most = 8 if name in ("PNG palette", "HEIF") else 3
    assert far(decode(CASES[name], AS_SRGB), np.asarray(PHOTO)) < most
    assert far(decode(CASES[name], CONVERTED), RGB) < most


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
def test_so_it_is_to_a_large_picture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.decode.LARGE_PX", 0)
    small = decode(CASES[name], CONVERTED, lambda height, width: (16, 24))
    assert small.shape[0] < 64
    assert far(small, np.asarray(Image.fromarray(RGB).resize(small.shape[1::-1], Image.Resampling.BOX))) < 6


def test_what_is_transparent_stays_so() -> None:
    image = PHOTO.copy()
    image.putalpha(Image.new("L", PHOTO.size, 0))
    assert (decode(encode(image, "PNG", icc_profile=SWAPPED), CONVERTED) == 255).all()


@pytest.mark.parametrize("profile", [b"", b"nonsense" * 40, SWAPPED[:300], SWAPPED[:128] + bytes(len(SWAPPED) - 128)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_broken_profile_is_none(profile: bytes, kind: str) -> None:
    data = encode(PHOTO, kind, icc_profile=profile)
    np.testing.assert_array_equal(decode(data, CONVERTED), decode(data, AS_SRGB))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_profile_for_other_channels_is_none(mode: str, kind: str) -> None:
    data = encode(PHOTO.convert(mode), kind, icc_profile=SWAPPED)
    np.testing.assert_array_equal(decode(data, CONVERTED), decode(data, AS_SRGB))


def test_a_picture_without_a_profile_is_what_it_was() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        data = encode(PHOTO, kind)
        np.testing.assert_array_equal(decode(data, CONVERTED), decode(data, AS_SRGB))
