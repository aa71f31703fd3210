"""Owns the tests of insight/figures.py: that pictures are there, of sensible size, and in the right place."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.insight import figures
from app.insight.figures import Distances, Photo

YELLOW, PURPLE = (253, 231, 36), (68, 1, 84)  # viridis at 1 and -1


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("grid", [(7, 7), (24, 24), (3, 12), (12, 3), (1, 5)])
def test_a_patch_is_most_like_itself_at_its_own_place(tmp_path: Path, grid: tuple[int, int]):
    rows, columns = grid
    maps = np.full((rows, columns, rows, columns), -1.0)
    for r, c in np.ndindex(grid):
        maps[r, c, r, c] = 1.0
    figures.position_similarity(maps, range(rows), range(columns), "vit", tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    assert min(picture.shape[:2]) > 250
    assert max(picture.shape[:2]) < 3000
    yellow, purple = ((picture == colour).all(axis=2) for colour in (YELLOW, PURPLE))
    assert yellow.sum() / (yellow.sum() + purple.sum()) == pytest.approx(1 / (rows * columns), rel=0.15)
    assert np.argwhere(yellow)[0][0] < picture.shape[0] / 2  # the first row is above


def test_maps_of_some_patches_are_numbered_as_these_patches(tmp_path: Path):
    maps = np.zeros((2, 2, 40, 40))
    figures.position_similarity(maps, [10, 30], [10, 30], "vit", tmp_path / "some.png")
    figures.position_similarity(maps, [0, 1], [0, 1], "vit", tmp_path / "first.png")
    assert (pixels(tmp_path / "some.png").shape != pixels(tmp_path / "first.png").shape) or (
        pixels(tmp_path / "some.png") != pixels(tmp_path / "first.png")
    ).any()


@pytest.mark.parametrize("count", [28, 27, 3])
def test_filters_stand_seven_in_a_row(tmp_path: Path, count: int):
    red = np.zeros((count, 4, 4, 3))
    red[..., 0] = 1
    figures.patch_filters(red, "filters", tmp_path / "a.png")
    marked = (pixels(tmp_path / "a.png") == (255, 0, 0)).all(axis=2)
    across, down = runs(marked.any(axis=0)), runs(marked.any(axis=1))
    assert (across, down) == (min(count, 7), -(-count // 7))
    width, height = marked.any(axis=0).sum() / across, marked.any(axis=1).sum() / down
    assert width == pytest.approx(height, rel=0.05)
    assert width > 60


def test_every_head_has_its_dot_below_the_upper_edge(tmp_path: Path):
    far = np.array([[10.0, 90.0], [50.0, 70.0], [20.0, 30.0]])
    figures.attention_distance(Distances(far * 0.9, far, 60.0, 224), "distances", tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    dots = sum(int((picture == colour).all(axis=2).sum()) for colour in ((31, 119, 180), (255, 127, 14)))
    figures.attention_distance(Distances(far[:, :1], far[:, :1], 60.0, 224), "distances", tmp_path / "b.png")
    half = pixels(tmp_path / "b.png")
    assert dots == pytest.approx(2 * int((half == (31, 119, 180)).all(axis=2).sum()), rel=0.1)
    assert picture.shape[1] > picture.shape[0] > 400


@pytest.mark.parametrize(("size", "count"), [((32, 32), 1), ((24, 40), 2), ((60, 20), 2)])
def test_photographs_stand_beside_their_maps(tmp_path: Path, size: tuple[int, int], count: int):
    blue, green = np.zeros((2, *size, 3), np.uint8)
    blue[..., 2], green[..., 1] = 255, 255
    photo = Photo("a $photo$ of 猫.jpg", blue, np.ones((3, 5)), green)
    figures.attention_rollout([photo] * count, "rollout of $x$", tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    for colour in ((0, 0, 255), YELLOW, (0, 255, 0)):
        marked = (picture == colour).all(axis=2)
        assert runs(marked.any(axis=1)) == count
        height, width = marked.any(axis=1).sum() / count, marked.any(axis=0).sum()
        assert height / width == pytest.approx(size[0] / size[1], rel=0.05)
        assert max(height, width) > 200


def runs(marked: np.ndarray) -> int:
    """How many stretches of marked places there are."""
    return int((np.diff(marked.astype(int), prepend=0) == 1).sum())
