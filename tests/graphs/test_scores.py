"""Owns the tests of graphs/scores.py."""

import numpy as np
import pytest
import torch

from app.domain import Activation, Scoring
from app.graphs.folder import Logits
from app.graphs.scores import scores_of

DRAWN: Logits = np.random.default_rng(0).normal(0, 6, (20, 7)).astype(np.float32)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_scores_are_torchs(activation: Activation, temperature: float) -> None:
    cooled = torch.from_numpy(DRAWN.copy()).double() / temperature
    expected = {"softmax": cooled.softmax(dim=1), "sigmoid": cooled.sigmoid(), "none": cooled}[activation]
    found = scores_of(DRAWN, Scoring(activation, temperature))
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-5, atol=1e-30)
    assert found.dtype == np.float32


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_logits_are_left_as_they_were(activation: Activation) -> None:
    before = DRAWN.copy()
    scores_of(DRAWN, Scoring(activation))[:] = 3
    assert np.array_equal(DRAWN, before)


@pytest.mark.filterwarnings("error")
def test_very_large_logits_are_no_overflow() -> None:
    huge = np.array([[1e38, 500, -500, -1e38]], np.float32)
    assert scores_of(huge, Scoring("sigmoid")).tolist() == [[1, 1, pytest.approx(0, abs=1e-30), 0]]
    assert scores_of(huge, Scoring("softmax")).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_no_number_has_no_sigmoid(value: float) -> None:
    """The warm-up finds a broken network by its scores."""
    assert np.isnan(scores_of(np.array([[1, value]], np.float32), Scoring("sigmoid"))[0]).tolist() == [False, True]
