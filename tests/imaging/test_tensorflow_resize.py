"""TensorFlow is not at hand: torch's bilinear, and a mean over repeated pixels, follow the same definitions."""

import time
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import PreprocessSpec
from app.imaging.decode import Pixels
from app.imaging.resample import resample, resized_size

GOOGLE = PreprocessSpec(64, 48, "bilinear", 1.0, "squash", library="tensorflow")
BIG_VISION = PreprocessSpec(48, 48, "area", resize_px=56, library="tensorflow")


def resampled(pixels: Pixels, spec: PreprocessSpec) -> Pixels:
    out = np.full((spec.height, spec.width, 3), 99, np.uint8)
    resample(pixels, spec, out)
    return out


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 99))
def test_bilinear_looks_at_two_pixels_however_much_is_shrunk(height: int, width: int, seed: int) -> None:
    pixels = noise(height, width, seed)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].double()
    exact = torch.nn.functional.interpolate(image, (64, 48), mode="bilinear")[0].permute(1, 2, 0).numpy()
    assert np.abs(resampled(pixels, GOOGLE) - exact).max() <= 0.5001


def area(pixels: Pixels, height: int, width: int) -> npt.NDArray[np.float64]:
    """Each pixel repeated as often as the target is long, so that the target's pixels cover whole ones."""
    rows = pixels.repeat(height, axis=0).reshape(height, pixels.shape[0], -1).mean(axis=1)
    columns = rows.reshape(height, pixels.shape[1], 3).repeat(width, axis=1)
    mean: npt.NDArray[np.float64] = columns.reshape(height, width, -1, 3).mean(axis=2)
    return mean


@settings(max_examples=50, deadline=None)
@given(st.integers(20, 200), st.integers(20, 200), st.integers(0, 99))
def test_area_is_the_mean_of_what_is_covered_cut_to_a_byte(height: int, width: int, seed: int) -> None:
    pixels = noise(height, width, seed)
    size = resized_size(height, width, BIG_VISION)
    top, left = (size[0] - 48) // 2, (size[1] - 48) // 2
    expected = np.floor(area(pixels, *size) + 1e-3)[top : top + 48, left : left + 48]
    found = resampled(pixels, BIG_VISION)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.01  # where float32 and float64 fall on two sides of a whole number


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((300, 500), (56, 93)),
        ((500, 300), (93, 56)),
        ((56, 57), (56, 57)),
        ((112, 225), (56, 112)),
        ((112, 227), (56, 114)),
    ],
)
def test_the_long_side_is_rounded_half_to_even(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_size(*size, BIG_VISION) == expected


@pytest.mark.parametrize("shape", [(1, 1_000_000), (1_000_000, 1), (1, 1), (3, 2)])
@pytest.mark.parametrize("spec", [GOOGLE, BIG_VISION])
def test_a_strip_costs_no_more_than_it_is_worth(shape: tuple[int, int], spec: PreprocessSpec) -> None:
    pixels = np.full((*shape, 3), 77, np.uint8)
    tracemalloc.start()
    started_at = time.monotonic()
    assert (resampled(pixels, spec) == 77).all()
    assert time.monotonic() - started_at < 5
    assert tracemalloc.get_traced_memory()[1] < 60 * 2**20
    tracemalloc.stop()


def test_it_is_not_pillows_bilinear() -> None:
    photo = skimage.data.chelsea()
    pillow = PreprocessSpec(64, 48, "bilinear", 1.0, "squash")
    assert np.abs(resampled(photo, GOOGLE).astype(int) - resampled(photo, pillow)).max() > 20
