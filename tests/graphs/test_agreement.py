"""Owns the tests of graphs/agreement.py."""

import numpy as np
import numpy.typing as npt
import pytest

from app.graphs.agreement import disagreement

Logits = npt.NDArray[np.float32]


def logits(*rows: list[float]) -> Logits:
    return np.array(rows, np.float32)


def of_scores(*rows: list[float]) -> Logits:
    """Logits whose softmax are these scores."""
    return np.log(np.array(rows, np.float64)).astype(np.float32)


CLEAR = of_scores([0.7, 0.2, 0.1], [0.1, 0.3, 0.6])


def test_the_same_is_the_same() -> None:
    assert disagreement(CLEAR, CLEAR.copy(), 1.0) is None
    assert disagreement(CLEAR, CLEAR.copy(), 1.0, exact=True) is None


def test_what_is_added_to_all_logits_changes_no_score_and_yet_is_not_exact() -> None:
    assert disagreement(CLEAR, CLEAR + 5, 1.0) is None
    assert disagreement(CLEAR, CLEAR + 5, 1.0, exact=True) == "a logit differs by 5"


def test_of_two_classes_that_are_nearly_tied_either_may_go_first() -> None:
    tied, turned = of_scores([0.4, 0.39, 0.21]), of_scores([0.39, 0.4, 0.21])
    assert disagreement(tied, turned, 1.0) is None
    equal = logits([1, 1, 0])
    assert disagreement(equal, equal[:, [1, 0, 2]], 1.0) is None


def test_another_class_first_is_told_with_its_lead() -> None:
    found = of_scores([0.419, 0.421, 0.16])
    reason = disagreement(of_scores([0.43, 0.4, 0.17]), found, 1.0)
    assert reason == "it names another class first, one whose score is 0.030 lower"


def test_it_is_enough_that_one_of_many_pictures_differs() -> None:
    expected = of_scores(*[[0.7, 0.2, 0.1]] * 9)
    for row in (0, 4, 8):
        found = expected.copy()
        found[row] = found[row, ::-1]
        reason = disagreement(expected, found, 1.0)
        assert reason and "another class" in reason


@pytest.mark.parametrize(("moved", "fits"), [(0.0199, True), (0.0201, False), (-0.0199, True), (-0.0201, False)])
def test_a_score_may_move_by_two_hundredths(moved: float, fits: bool) -> None:
    reason = disagreement(CLEAR, of_scores([0.7 - moved, 0.2 + moved, 0.1], [0.1, 0.3, 0.6]), 1.0)
    assert reason is None if fits else reason == "a score differs by 0.020"


def test_scores_are_those_behind_the_temperature() -> None:
    expected, found = logits([4.0, 3.0, 0.0]), logits([4.4, 3.0, 0.0])
    assert disagreement(expected, found, 20.0) is None  # at which they hardly differ
    assert disagreement(expected, found, 1.0)


def test_very_large_logits_are_no_overflow() -> None:
    huge = logits([30_000, 29_000, -30_000])
    assert disagreement(huge, huge.copy(), 1.0) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_no_number_agrees_with_nothing(value: float, exact: bool) -> None:
    found = CLEAR.copy()
    found[1, 2] = value
    assert disagreement(CLEAR, found, 1.0, exact) == "it gives what is no number"


@pytest.mark.parametrize(("size", "most"), [(0.5, 1e-4), (1.0, 1e-4), (50.0, 5e-3)])
def test_exact_is_a_ten_thousandth_of_the_largest_logit_or_of_one(size: float, most: float) -> None:
    expected = logits([size, 0, -size / 2])
    for share, fits in ((0.9, True), (1.1, False)):
        found = expected.copy()
        found[:, 1] += np.float32(share * most)
        assert (disagreement(expected, found, 1.0, exact=True) is None) == fits
