"""Owns the tests of engine/runners/best.py."""

import numpy as np
import pytest
import torch

from app.domain import Scoring
from app.engine.client import Scores
from app.engine.runners.best import best_classes
from app.graphs.folder import Logits


def drawn(images: int, classes: int, scale: float = 3.0) -> Logits:
    return np.random.default_rng(classes).normal(0, scale, (images, classes)).astype(np.float32)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
def test_scores_are_torchs_softmax_and_classes_torchs_best(classes: int, temperature: float) -> None:
    logits = drawn(6, classes)
    top_ks = [min(k, classes) for k in (1, 2, 3, 5, classes - 1 or 1, classes)]
    expected = (torch.from_numpy(logits.copy()) / temperature).softmax(dim=1)
    found = best_classes(logits, Scoring(temperature=temperature), top_ks)
    for row, best, k in zip(expected, found, top_ks, strict=True):
        scores, indices = row.topk(k)
        assert best.indices == indices.tolist()
        assert best.scores == pytest.approx(scores.tolist(), rel=1e-4, abs=1e-7)
        assert best.scores == sorted(best.scores, reverse=True)
    assert sum(found[-1].scores) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("k", range(1, 7))
def test_of_equal_scores_the_first_classes_go_first(k: int) -> None:
    row = np.array([[1, 3, 2, 3, 3, 3]], np.float32)
    [best] = best_classes(row, Scoring(), [k])
    assert best.indices == [1, 3, 4, 5, 2, 0][:k]


def test_fewer_classes_are_the_beginning_of_more() -> None:
    tied = np.repeat(np.round(drawn(1, 40, 1.0)), 5, axis=1)  # 200 classes of few different scores
    [everything] = best_classes(tied, Scoring(), [200])
    assert sorted(everything.indices) == list(range(200))
    for k in (1, 2, 7, 50, 199):
        [best] = best_classes(tied, Scoring(), [k])
        assert best.indices == everything.indices[:k]
        assert best.scores == everything.scores[:k]


def test_the_best_of_all_ties_is_what_argmax_says() -> None:
    flat = np.zeros((3, 1000), np.float32)
    assert [best.indices for best in best_classes(flat, Scoring(), [1, 2, 3])] == [[0], [0, 1], [0, 1, 2]]


def test_very_large_logits_are_no_overflow() -> None:
    [best] = best_classes(np.array([[5e37, -5e37, 1e37]], np.float32), Scoring(temperature=0.5), [2])
    assert best.scores == [1.0, 0.0]
    assert best.indices[0] == 0


def test_what_is_no_number_stays_none() -> None:
    """The warm-up looks at the first score to find out."""
    [best] = best_classes(np.array([[1, np.nan, 2]], np.float32), Scoring(), [1])
    assert len(best.scores) == 1
    assert np.isnan(best.scores[0])


def test_logits_are_left_as_they_were_and_numbers_are_pythons() -> None:
    logits = drawn(2, 5)
    before = logits.copy()
    [best, _] = best_classes(logits, Scoring(temperature=2.0), [2, 2])
    assert np.array_equal(logits, before)
    assert (type(best.scores[0]), type(best.indices[0])) == (float, int)


def test_as_many_answers_as_images_are_asked_for() -> None:
    with pytest.raises(ValueError, match="shorter"):
        best_classes(drawn(3, 4), Scoring(), [1, 1])


def test_a_row_of_which_none_is_asked_for_gives_its_logits_in_order() -> None:
    logits = drawn(3, 4)
    first, whole, last = best_classes(logits, Scoring("sigmoid", 2.0), [1, 0, 4])
    assert whole == Scores(logits[1].tolist(), [])
    assert (len(first.indices), len(last.indices)) == (1, 4)
