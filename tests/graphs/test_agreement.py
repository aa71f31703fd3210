"""Owns the tests of graphs/agreement.py."""

import numpy as np
import numpy.typing as npt
import pytest

from app.domain import Scoring
from app.graphs.agreement import disagreement

Logits = npt.NDArray[np.float32]
SOFTMAX, SIGMOID, NONE = Scoring(), Scoring("sigmoid"), Scoring("none")


def logits(*rows: list[float]) -> Logits:
    return np.array(rows, np.float32)


def of_scores(*rows: list[float]) -> Logits:
    """Logits whose softmax are these scores."""
    return np.log(np.array(rows, np.float64)).astype(np.float32)


CLEAR = of_scores([0.7, 0.2, 0.1], [0.1, 0.3, 0.6])


def test_the_same_is_the_same() -> None:
    assert disagreement(CLEAR, CLEAR.copy(), SOFTMAX) is None
    assert disagreement(CLEAR, CLEAR.copy(), SOFTMAX, exact=True) is None


def test_what_is_added_to_all_logits_changes_no_score_and_yet_is_not_exact() -> None:
    assert disagreement(CLEAR, CLEAR + 5, SOFTMAX) is None
    assert disagreement(CLEAR, CLEAR + 5, SOFTMAX, exact=True) == "a logit differs by 5"


def test_of_two_classes_that_are_nearly_tied_either_may_go_first() -> None:
    tied, turned = of_scores([0.4, 0.39, 0.21]), of_scores([0.39, 0.4, 0.21])
    assert disagreement(tied, turned, SOFTMAX) is None
    equal = logits([1, 1, 0])
    assert disagreement(equal, equal[:, [1, 0, 2]], SOFTMAX) is None


def test_another_class_first_is_told_with_its_lead() -> None:
    found = of_scores([0.419, 0.421, 0.16])
    reason = disagreement(of_scores([0.43, 0.4, 0.17]), found, SOFTMAX)
    assert reason == "it names another class first, one whose score is 0.030 lower"


def test_it_is_enough_that_one_of_many_pictures_differs() -> None:
    expected = of_scores(*[[0.7, 0.2, 0.1]] * 9)
    for row in (0, 4, 8):
        found = expected.copy()
        found[row] = found[row, ::-1]
        reason = disagreement(expected, found, SOFTMAX)
        assert reason and "another class" in reason


@pytest.mark.parametrize(("moved", "fits"), [(0.0199, True), (0.0201, False), (-0.0199, True), (-0.0201, False)])
def test_a_score_may_move_by_two_hundredths(moved: float, fits: bool) -> None:
    reason = disagreement(CLEAR, of_scores([0.7 - moved, 0.2 + moved, 0.1], [0.1, 0.3, 0.6]), SOFTMAX)
    assert reason is None if fits else reason == "a score differs by 0.020"


def test_scores_are_those_behind_the_temperature() -> None:
    expected, found = logits([4.0, 3.0, 0.0]), logits([4.4, 3.0, 0.0])
    assert disagreement(expected, found, Scoring(temperature=20.0)) is None  # at which they hardly differ
    assert disagreement(expected, found, SOFTMAX)


def test_very_large_logits_are_no_overflow() -> None:
    huge = logits([30_000, 29_000, -30_000])
    assert disagreement(huge, huge.copy(), SOFTMAX) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_no_number_agrees_with_nothing(value: float, exact: bool) -> None:
    found = CLEAR.copy()
    found[1, 2] = value
    assert disagreement(CLEAR, found, SOFTMAX, exact) == "it gives what is no number"


@pytest.mark.parametrize(("size", "most"), [(0.5, 1e-4), (1.0, 1e-4), (50.0, 5e-3)])
def test_exact_is_a_ten_thousandth_of_the_largest_logit_or_of_one(size: float, most: float) -> None:
    expected = logits([size, 0, -size / 2])
    for share, fits in ((0.9, True), (1.1, False)):
        found = expected.copy()
        found[:, 1] += np.float32(share * most)
        assert (disagreement(expected, found, SOFTMAX, exact=True) is None) == fits


def of_sigmoids(*rows: list[float]) -> Logits:
    """Logits whose sigmoids are these scores."""
    scores = np.array(rows, np.float64)
    return np.log(scores / (1 - scores)).astype(np.float32)


def test_sigmoids_are_compared_each_on_its_own() -> None:
    expected = of_sigmoids([0.9, 0.5, 0.1], [0.2, 0.3, 0.4])
    assert disagreement(expected, of_sigmoids([0.91, 0.49, 0.11], [0.21, 0.29, 0.41]), SIGMOID) is None
    assert disagreement(expected, of_sigmoids([0.9, 0.5, 0.1], [0.2, 0.27, 0.4]), SIGMOID) == "a score differs by 0.030"
    assert disagreement(expected, expected + 1, SOFTMAX) is None  # which a softmax does not show
    assert str(disagreement(expected, expected + 1, SIGMOID)).startswith("a score differs by 0.2")
    assert disagreement(expected, expected + 1, Scoring("sigmoid", 20.0)) is None


def test_of_one_class_a_softmax_says_nothing_and_a_sigmoid_all() -> None:
    assert disagreement(logits([3], [-2]), logits([-3], [2]), SOFTMAX) is None
    assert str(disagreement(logits([3], [-2]), logits([-3], [2]), SIGMOID)).startswith("a score differs by 0.9")


@pytest.mark.parametrize(
    ("column", "value", "fits"), [(0, 40.7, True), (0, 40.9, False), (1, 0.0202, True), (1, 0.0206, False)]
)
def test_numbers_may_differ_by_two_hundredths_of_the_largest_of_their_kind(
    column: int, value: float, fits: bool
) -> None:
    """Such as an age in years beside a share: the large one does not excuse the small."""
    expected = logits([40, 0.02], [12, -0.003])
    expected[:, 1] *= 10
    found = expected.copy()
    found[0, column] = value * (10 if column else 1)
    reason = disagreement(expected, found, NONE)
    assert reason is None if fits else reason and "became" in reason


def test_numbers_have_no_order_to_keep_and_an_output_without_use_does_not_matter() -> None:
    expected = logits([1.0, 0.999, 0.0], [0.5, 0.4, 0.0])
    assert disagreement(expected, logits([0.999, 1.0, 1e-6], [0.5, 0.4, -1e-6]), NONE) is None
    assert disagreement(expected, logits([0.5, 0.999, 0.0], [0.5, 0.4, 0.0]), NONE) == "1 became 0.5"
