"""Owns the tests of graphs/probes.py."""

from dataclasses import replace

import numpy as np
import pytest

from app.domain import PreprocessSpec
from app.graphs.probes import probes
from app.imaging.decode import Pixels

SMOOTH = slice(0, 4)
PHOTOGRAPHS = slice(4, None)


def roughness(pictures: Pixels) -> float:
    """Mean step between neighbours."""
    steps = [np.abs(np.diff(pictures.astype(int), axis=axis)).mean() for axis in (1, 2)]
    return float(np.mean(steps))


def test_they_are_the_same_every_time() -> None:
    np.random.seed(1)
    first = probes(PreprocessSpec())
    np.random.seed(2)
    assert np.array_equal(first, probes(PreprocessSpec()))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (224, 224), (48, 160), (160, 48), (1, 7)])
def test_they_have_the_size_that_the_network_takes(height: int, width: int) -> None:
    pictures = probes(PreprocessSpec(height, width))
    assert pictures.shape == (8, height, width, 3)
    assert pictures.dtype == np.uint8
    assert pictures.flags.c_contiguous


def test_no_two_are_alike_and_each_uses_much_of_the_range() -> None:
    pictures = probes(PreprocessSpec(64, 96))
    means = pictures.mean(axis=(1, 2, 3))
    assert len(set(means.round(3).tolist())) == 8
    assert (pictures.reshape(8, -1).max(axis=1).astype(int) - pictures.reshape(8, -1).min(axis=1) > 100).all()


def test_half_of_them_are_smooth_and_half_are_photographs() -> None:
    pictures = probes(PreprocessSpec())
    assert roughness(pictures[SMOOTH]) < 2
    assert 2 < roughness(pictures[PHOTOGRAPHS]) < 20
    noise = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    assert roughness(noise) > 80  # which neither is


def test_photographs_are_prepared_as_the_model_says_and_the_rest_is_drawn() -> None:
    spec = PreprocessSpec(64, 64, crop_pct=1.0)
    plain, squashed = probes(spec), probes(replace(spec, crop_mode="squash"))
    assert np.array_equal(plain[SMOOTH], squashed[SMOOTH])
    assert not np.array_equal(plain[PHOTOGRAPHS], squashed[PHOTOGRAPHS])
