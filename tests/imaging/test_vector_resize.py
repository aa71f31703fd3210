"""Owns the tests of imaging/vector_resize.py."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.imaging import vector_resize as module
from app.imaging.decode import Pixels
from app.imaging.vector_resize import KERNELS, resize_axis

PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
KINDS = ("photograph", "noise", "edges")


def drawn(kind: str, height: int, width: int) -> Pixels:
    if kind == "photograph":
        return np.ascontiguousarray(np.tile(skimage.data.chelsea(), (2, 2, 1))[:height, :width])
    noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return noise if kind == "noise" else np.where(noise > 127, 255, 0).astype(np.uint8)


def pillows(pixels: Pixels, axis: int, length: int, kernel: str) -> Pixels:
    size = (pixels.shape[1], length) if axis == 0 else (length, pixels.shape[0])
    return np.asarray(Image.fromarray(pixels).resize(size, PILLOW[kernel]))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("length", [1, 31, 224, 256, 299, 301, 600, 1000])
def test_a_pass_is_pillows_but_for_one(kernel: str, axis: int, length: int) -> None:
    for kind in KINDS:
        pixels = drawn(kind, 300, 451)
        found = resize_axis(pixels, axis, length, kernel)
        expected = pillows(pixels, axis, length, kernel)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.05


@pytest.mark.skipif(find_spec("cykooz_resizer") is None, reason="there is no wheel for this machine")
def test_where_there_is_a_wheel_it_resizes() -> None:
    """Else the tests here compare Pillow with itself."""
    assert vars(module)["cykooz"] is not None


@pytest.mark.parametrize("axis", [0, 1])
def test_the_same_length_costs_nothing(axis: int) -> None:
    pixels = drawn("noise", 30, 40)
    assert resize_axis(pixels, axis, pixels.shape[axis], "bicubic") is pixels


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("part_px", [1, 4_000, 30_000])
def test_parts_give_the_same_as_the_whole(
    kernel: str, axis: int, part_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = drawn("noise", 300, 451)
    whole = resize_axis(pixels, axis, 100, kernel)
    monkeypatch.setattr(module, "_PART_PX", part_px)
    np.testing.assert_array_equal(resize_axis(pixels, axis, 100, kernel), whole)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("axis", [0, 1])
def test_without_the_wheel_it_is_exactly_pillow(kernel: str, axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cykooz", None)
    monkeypatch.setattr(module, "_PART_PX", 10_000)
    for length in (77, 600):
        pixels = drawn("edges", 300, 451)
        np.testing.assert_array_equal(resize_axis(pixels, axis, length, kernel), pillows(pixels, axis, length, kernel))


@pytest.mark.parametrize("axis", [0, 1])
def test_any_layout_of_memory_will_do(axis: int) -> None:
    pixels = drawn("photograph", 200, 300)
    for view in (pixels[::-1, ::2], pixels.transpose(1, 0, 2), pixels[:, :, ::-1]):
        np.testing.assert_array_equal(
            resize_axis(view, axis, 64, "bicubic"), resize_axis(np.ascontiguousarray(view), axis, 64, "bicubic")
        )


@pytest.mark.parametrize("shape", [(1, 1), (1, 70_000), (70_000, 1)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_strip_stays_of_one_colour(shape: tuple[int, int], axis: int) -> None:
    assert (resize_axis(np.full((*shape, 3), 77, np.uint8), axis, 9, "bicubic") == 77).all()


def test_threads_do_not_disturb_each_other() -> None:
    pictures = [drawn("noise", 200 + i, 300) for i in range(8)]
    alone = [resize_axis(each, 1, 90, "bicubic") for each in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: resize_axis(each, 1, 90, "bicubic"), pictures * 4))
    for i, found in enumerate(together):
        np.testing.assert_array_equal(found, alone[i % len(pictures)])
