"""Owns the tests of imaging/overlay.py."""

import io

import numpy as np
import pytest
from PIL import Image

from app.imaging.overlay import overlay_png

GREY = np.full((64, 96, 3), 128, np.uint8)


def drawn(weights: list[list[float]], picture: np.ndarray = GREY) -> np.ndarray:
    file = overlay_png(picture, np.array(weights, np.float32))
    image = Image.open(io.BytesIO(file))
    assert image.format == "PNG" and image.size == (picture.shape[1], picture.shape[0])
    return np.asarray(image).astype(float)


def test_the_largest_weight_covers_most_and_the_least_nothing() -> None:
    changed = np.abs(drawn([[0.0, 0.1, 0.9]]) - 128).sum(axis=2)
    assert changed[:, :8].max() < 3
    assert changed[:, -8:].min() > changed[:, 40:48].max()
    yellow = drawn([[0.0, 1.0]])[32, -1]
    assert yellow[0] > 180 and yellow[1] > 180 and yellow[2] < 90


def test_only_differences_count() -> None:
    assert drawn([[0.2, 0.4]]) == pytest.approx(drawn([[20.0, 40.0]]), abs=1)


@pytest.mark.parametrize("weights", [[[0.5, 0.5]], [[0.0]], [[-1.0, -1.0]]])
def test_where_all_weigh_alike_the_picture_is_as_it_was(weights: list[list[float]]) -> None:
    assert (drawn(weights) == 128).all()


def test_a_picture_of_one_pixel_and_a_map_finer_than_it() -> None:
    assert drawn([[0.0, 1.0], [1.0, 0.0]], GREY[:1, :1]).shape == (1, 1, 3)
