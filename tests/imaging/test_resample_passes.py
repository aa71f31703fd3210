"""The order and the exactness of the two passes, on pictures made to show them: a byte off in the first can grow."""

import warnings

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from PIL import Image

from app.domain import PreprocessSpec
from app.imaging import resample as module
from app.imaging.decode import Pixels
from app.imaging.resample import resample, resized_size


def blocks(height: int, width: int, seed: int, side_px: int = 5) -> Pixels:
    """Squares of black and white in every channel: hard edges overshoot, and many sums end in a half."""
    cells = np.random.default_rng(seed).integers(0, 2, (height // side_px + 1, width // side_px + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(cells.repeat(side_px, 0).repeat(side_px, 1)[:height, :width] * 255)


def difference(pixels: Pixels, spec: PreprocessSpec, *, nearly: bool = False) -> npt.NDArray[np.int64]:
    """From Pillow's resize, cropped; for sizes that hold the crop."""
    height, width = resized_size(pixels.shape[0], pixels.shape[1], spec)
    kernel = Image.Resampling[spec.interpolation.upper()]
    top, left = round((height - spec.height) / 2), round((width - spec.width) / 2)
    whole = np.asarray(Image.fromarray(pixels).resize((width, height), kernel)).astype(int)
    out = np.empty((spec.height, spec.width, 3), np.uint8)
    resample(pixels, spec, out, nearly=nearly)
    found: npt.NDArray[np.int64] = np.abs(out - whole[top : top + spec.height, left : left + spec.width])
    return found


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (255, 257), (301, 449), (511, 600), (90, 120)])
def test_hard_edges_are_exact_where_little_is_shrunk(height: int, width: int, kernel: str) -> None:
    for seed in range(3):
        for side_px in (3, 5):
            spec = PreprocessSpec(224, 224, kernel)  # type: ignore[arg-type]
            assert difference(blocks(height, width, seed, side_px), spec).max() == 0
            assert difference(blocks(height, width, seed, side_px), spec, nearly=True).max() <= 1


def test_hard_edges_show_the_faster_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why there are two: the test above would fail with torch alone."""
    monkeypatch.setattr(module, "_EXACT_BELOW", 0.0)
    found = [
        difference(blocks(375, 500, seed, side_px), PreprocessSpec()).max() for seed in range(9) for side_px in (3, 5)
    ]
    assert max(found) == 2


def test_hard_edges_are_nearly_exact_where_much_is_shrunk() -> None:
    found = np.stack([difference(blocks(700, 900, seed, 3 + seed), PreprocessSpec()) for seed in range(8)])
    assert found.max() <= 2
    assert (found > 1).mean() < 1e-4


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear", "lanczos", "hamming", "box", "nearest"])
@pytest.mark.parametrize(("height", "width"), [(700, 300), (1000, 400), (640, 310), (1500, 511), (270, 100)])
def test_a_tall_picture_is_shrunk_downwards_first(height: int, width: int, kernel: str) -> None:
    spec = PreprocessSpec(224, 224, kernel)  # type: ignore[arg-type]
    assert difference(blocks(height, width, seed=1), spec).max() <= 1


@pytest.mark.parametrize(
    ("height", "width"), [(60, 900), (900, 60), (451, 300), (300, 451), (40, 41), (5, 90), (90, 5)]
)
def test_the_crop_alone_is_the_crop_of_the_whole(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.tile(skimage.data.chelsea(), (3, 3, 1))[:height, :width]
    monkeypatch.setattr(module, "_MAX_CUT_AWAY_PX", -1)
    for kernel in ("bicubic", "bilinear", "lanczos", "hamming"):  # the others jump where float32 rounds
        spec = PreprocessSpec(64, 48, kernel, crop_pct=0.7)
        assert difference(photo, spec).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1_000_000), (1_000_000, 1), (3, 200_000), (200_000, 3)])
@pytest.mark.parametrize("kernel", ["bicubic", "lanczos", "nearest"])
def test_of_a_very_long_strip_the_middle_is_seen(shape: tuple[int, int], kernel: str) -> None:
    along = int(shape[1] > shape[0])
    ramp = (np.arange(max(shape)) - max(shape) // 2).clip(-100, 100) + 100
    pixels = np.broadcast_to(ramp.astype(np.uint8)[:, None, None], (max(shape), min(shape), 3))
    out = np.zeros((224, 224, 3), np.uint8)
    resample(pixels.swapaxes(0, along), PreprocessSpec(interpolation=kernel), out)  # type: ignore[arg-type]
    line = out.swapaxes(0, along)[:, 100].astype(int)
    assert (np.diff(line, axis=0) >= 0).all()
    assert abs(line - 100).max() <= 1 + 112 * min(shape) / 256
    assert abs(line.mean() - 99.5) <= 1


def test_a_crop_wider_than_the_image_is_padded_with_black() -> None:
    pixels = np.full((30, 60, 3), 200, np.uint8)
    out = np.full((40, 40, 3), 7, np.uint8)
    resample(pixels, PreprocessSpec(40, 40, crop_pct=1.25), out)
    assert (out[4:36] == 200).all()
    assert not out[:4].any()
    assert not out[36:].any()


def test_a_border_has_the_mean_colour() -> None:
    spec = PreprocessSpec(40, 40, crop_pct=1.0, crop_mode="border", mean=(0.1, 0.5, 1.0))
    out = np.zeros((40, 40, 3), np.uint8)
    resample(np.zeros((20, 40, 3), np.uint8), spec, out)
    assert not out[10:30].any()
    assert (out[[*range(10), *range(30, 40)]] == (26, 128, 255)).all()


def test_any_layout_of_memory_will_do() -> None:
    photo = skimage.data.chelsea()
    expected = np.empty((64, 64, 3), np.uint8)
    resample(photo.copy(), PreprocessSpec(64, 64), expected)
    frozen, turned = photo.copy(), np.asfortranarray(photo)
    frozen.flags.writeable = False
    pool = np.zeros((3, 64, 64, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for slot, pixels in enumerate((frozen, turned, photo[::-1][::-1])):
            resample(pixels, PreprocessSpec(64, 64), pool[slot])
    assert (pool == expected).all()


def test_the_right_size_is_left_as_it_is() -> None:
    photo = skimage.data.chelsea()
    out = np.empty((300, 300, 3), np.uint8)
    resample(photo, PreprocessSpec(300, 300, crop_pct=1.0), out)
    assert (out == photo[:, 76:376]).all()  # (451 - 300) / 2 = 75.5, half to even
