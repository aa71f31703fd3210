"""Owns the tests of JPEGs that are shrunk while they are decoded, `scaled` in DecodeLimits."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.domain import PreprocessSpec
from app.imaging.decode import DecodeLimits, Pixels, decode
from app.imaging.resample import preprocess, resized_size

EXACT, SCALED = DecodeLimits(), DecodeLimits(scaled=True)
PHOTOGRAPHS = ("chelsea", "astronaut", "coffee", "rocket")
TURNED = 6  # EXIF: lies on its side


def file(name: str, width: int, height: int, form: str = "JPEG", orientation: int = 1) -> bytes:
    """One of skimage's photographs, enlarged."""
    image = Image.fromarray(getattr(skimage.data, name)()).resize((width, height), Image.Resampling.LANCZOS)
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[274] = orientation
    image.save(buffer, form, **({"quality": 92, "exif": exif} if form == "JPEG" else {}))
    return buffer.getvalue()


def prepared(data: bytes, spec: PreprocessSpec, limits: DecodeLimits) -> Pixels:
    out = np.zeros((spec.height, spec.width, 3), np.uint8)
    preprocess(data, spec, limits, out)
    return out


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
def test_pixels_move_by_less_than_one_on_average(name: str, kernel: str) -> None:
    spec = PreprocessSpec(224, 224, kernel)  # type: ignore[arg-type]
    data = file(name, 2400, 1800)
    moved = np.abs(prepared(data, spec, SCALED).astype(int) - prepared(data, spec, EXACT))
    assert 0 < moved.mean() < 1  # 0 would be no shrinking


@pytest.mark.parametrize(
    ("size", "target"), [((2048, 1536), 256), ((1000, 3000), 100), ((3000, 1001), 97), ((1025, 1025), 256)]
)
@pytest.mark.parametrize("orientation", [1, TURNED])
def test_what_is_left_is_no_less_than_asked_for(size: tuple[int, int], target: int, orientation: int) -> None:
    asked: list[tuple[int, int]] = []

    def at_least(height: int, width: int) -> tuple[int, int]:
        asked.append((height, width))
        short = min(height, width)
        return -(-2 * target * height // short), -(-2 * target * width // short)

    data = file("chelsea", *size, orientation=orientation)
    pixels = decode(data, SCALED, at_least)
    upright = size[::-1] if orientation == 1 else size
    assert asked == [upright]  # in the picture's own sense of up
    wanted = at_least(*upright)
    assert pixels.shape[0] >= min(wanted[0], upright[0]) and pixels.shape[1] >= min(wanted[1], upright[1])
    assert pixels.shape[0] < upright[0]  # it was shrunk
    assert pixels.shape[0] / pixels.shape[1] == pytest.approx(upright[0] / upright[1], rel=0.01)


@pytest.mark.parametrize("size", [(511, 700), (256, 256), (100, 60), (1023, 800), (8, 8)])
def test_small_pictures_are_the_same_in_both_modes(size: tuple[int, int]) -> None:
    spec = PreprocessSpec(224, 224)
    assert min(size) < 4 * resized_size(*size, spec)[0]  # half of it would not be twice
    data = file("coffee", *size)
    np.testing.assert_array_equal(prepared(data, spec, SCALED), prepared(data, spec, EXACT))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP"])
def test_other_formats_are_exact_in_both_modes(form: str) -> None:
    data = file("astronaut", 1600, 1200, form)
    spec = PreprocessSpec(64, 64)
    np.testing.assert_array_equal(prepared(data, spec, SCALED), prepared(data, spec, EXACT))


def test_the_default_of_the_library_is_exact() -> None:
    assert not DecodeLimits().scaled


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_are_shrunk_alike(mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.chelsea()).convert(mode).resize((1804, 1200)).save(buffer, "JPEG", quality=92)
    spec = PreprocessSpec(96, 96)
    moved = np.abs(prepared(buffer.getvalue(), spec, SCALED).astype(int) - prepared(buffer.getvalue(), spec, EXACT))
    assert moved.mean() < 1


@pytest.mark.parametrize("wanted", [(1000, 100), (100, 1000)])
def test_a_picture_that_is_squashed_keeps_enough_along_both_sides(wanted: tuple[int, int]) -> None:
    pixels = decode(file("chelsea", 1200, 1200), SCALED, lambda height, width: wanted)
    assert pixels.shape == (1200, 1200, 3)
