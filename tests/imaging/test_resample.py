import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.domain import PreprocessSpec
from app.imaging.decode import Pixels
from app.imaging.resample import resample, resized_size

KERNELS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def reference(pixels: Pixels, spec: PreprocessSpec) -> Pixels:
    """Pillow's resize, then torchvision's centre crop with its padding."""
    height, width = resized_size(pixels.shape[0], pixels.shape[1], spec)
    kernel = Image.Resampling[spec.interpolation.upper()]
    whole = np.asarray(Image.fromarray(pixels).resize((width, height), kernel))
    colour = [round(255 * m) for m in spec.mean] if spec.crop_mode == "border" else [0, 0, 0]
    down, across = max(spec.height - height, 0), max(spec.width - width, 0)
    canvas = np.empty((height + down, width + across, 3), np.uint8)
    canvas[:] = colour
    canvas[down // 2 : down // 2 + height, across // 2 : across // 2 + width] = whole
    top, left = round((canvas.shape[0] - spec.height) / 2.0), round((canvas.shape[1] - spec.width) / 2.0)
    return canvas[top : top + spec.height, left : left + spec.width]


def check(pixels: Pixels, spec: PreprocessSpec) -> None:
    out = np.full((spec.height, spec.width, 3), 99, np.uint8)
    resample(pixels, spec, out)
    assert np.abs(out.astype(int) - reference(pixels, spec)).max() <= 1


@pytest.mark.parametrize(
    ("size", "spec", "expected"),
    [
        ((300, 500), PreprocessSpec(224, 224, crop_pct=0.9), (248, 413)),
        ((500, 300), PreprocessSpec(224, 224, crop_pct=0.875), (426, 256)),
        ((375, 500), PreprocessSpec(384, 384, crop_pct=1.0), (384, 512)),
        ((333, 500), PreprocessSpec(384, 384, crop_pct=0.875), (438, 657)),
        ((300, 500), PreprocessSpec(224, 224, crop_pct=1.0, crop_mode="squash"), (224, 224)),
        ((300, 600), PreprocessSpec(224, 224, crop_pct=1.0, crop_mode="border"), (112, 224)),
        ((300, 600), PreprocessSpec(200, 100, crop_pct=1.0), (200, 400)),
    ],
)
def test_sizes(size: tuple[int, int], spec: PreprocessSpec, expected: tuple[int, int]) -> None:
    assert resized_size(*size, spec) == expected


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_a_photograph_in_every_way(kernel: str, mode: str) -> None:
    photo = skimage.data.chelsea()
    check(photo, PreprocessSpec(224, 224, kernel, 0.875, mode))  # type: ignore[arg-type]
    check(np.ascontiguousarray(photo[:, 100:300]), PreprocessSpec(64, 96, kernel, 0.9, mode))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [224, 256, 384, 160, 32])
@pytest.mark.parametrize("part", [(300, 451), (250, 250), (225, 329), (97, 301), (300, 120)])
def test_sizes_at_which_rounding_shows(size: int, part: tuple[int, int]) -> None:
    for photo in (skimage.data.chelsea(), skimage.data.astronaut(), skimage.data.coffee()):
        pixels = np.ascontiguousarray(photo[: part[0], : part[1]])
        for kernel in ("bilinear", "bicubic"):
            check(pixels, replace(PreprocessSpec(size, size, crop_pct=0.9), interpolation=kernel))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(4, 70),
    st.integers(4, 70),
    st.sampled_from(KERNELS),
    st.integers(0, 99),
)
def test_noise_of_any_size(height: int, width: int, to_height: int, to_width: int, kernel: str, seed: int) -> None:
    if max(height / width, width / height) > 6:
        return
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    check(pixels, PreprocessSpec(to_height, to_width, kernel, 0.9))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (2, 9_999), (1, 1)])
def test_a_strip_costs_no_more_than_it_is_worth(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), 77, np.uint8)
    out = np.zeros((224, 224, 3), np.uint8)
    tracemalloc.start()
    started_at = time.monotonic()
    resample(pixels, PreprocessSpec(), out)
    assert time.monotonic() - started_at < 2
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()
    assert (out == 77).all()
