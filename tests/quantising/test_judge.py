"""Owns the tests of quantising/judge.py."""

from pathlib import Path

import numpy as np
import pytest

from app.domain import Scoring
from app.errors import PackageError
from app.graphs.folder import GRAPHS_NAME, Logits, read_graphs
from app.quantising.judge import Comparison, Limits, compare, logits_of
from tests.graphs import tiny

LABELS = ("cat", "dog", "owl")


def saying(*classes: int, lead: float = 5.0) -> Logits:
    """Logits whose best class is that."""
    return (lead * np.eye(len(LABELS), dtype=np.float32))[list(classes)]


def compared(before: tuple[int, ...], after: tuple[int, ...], truths: tuple[int, ...] | None) -> Comparison:
    return compare(saying(*before), saying(*after), Scoring(), LABELS, truths)


def test_agreement_is_the_share_of_equal_best_classes() -> None:
    assert compared((0, 1, 2, 0), (0, 1, 2, 0), None).agreement == 1
    found = compared((0, 1, 2, 0), (0, 1, 1, 0), None)
    assert (found.images, found.agreement, found.before, found.after) == (4, 0.75, None, None)
    assert found.worst_class() is None


@pytest.mark.parametrize(("agreement", "holds"), [(0.75, True), (0.76, False), (1.0, False), (0.0, True)])
def test_without_classes_agreement_decides(agreement: float, holds: bool) -> None:
    reason = compared((0, 1, 2, 0), (0, 1, 1, 0), None).why_not(Limits(agreement=agreement))
    assert reason == (None if holds else f"agreement is 75.00%, below {agreement:.2%}")


def test_with_classes_accuracy_decides_and_not_agreement() -> None:
    """Of answers that were wrong before it does not matter how they are wrong."""
    found = compared((0, 1, 1, 1), (0, 1, 2, 2), (0, 1, 0, 0))
    assert found.agreement == 0.5
    assert found.why_not(Limits(agreement=0.99)) is None


@pytest.mark.parametrize(("loss", "holds"), [(0.25, True), (0.24, False), (0.0, False)])
def test_accuracy_may_fall_so_far(loss: float, holds: bool) -> None:
    found = compared((0, 1, 2, 0), (0, 1, 2, 1), (0, 1, 2, 0))
    reason = found.why_not(Limits(accuracy_loss=loss, calibration_loss=1))
    assert reason == (None if holds else "accuracy falls from 100.00% to 75.00%")


def test_better_is_never_refused() -> None:
    assert compared((1, 1, 2, 0), (0, 1, 2, 0), (0, 1, 2, 0)).why_not(Limits(accuracy_loss=0)) is None


def test_scores_that_have_become_too_sure_are_refused() -> None:
    truths, classes = (0, 0, 0, 1), (0, 0, 0, 0)  # three of four
    fair, sure = saying(*classes, lead=1.8), saying(*classes, lead=30)
    reason = compare(fair, sure, Scoring(), LABELS, truths).why_not(Limits())
    assert reason and reason.startswith("the calibration error rises from 0.0")
    assert reason.endswith("(accuracy: +0.00%)")
    assert compare(sure, fair, Scoring(), LABELS, truths).why_not(Limits()) is None
    assert compare(fair, sure, Scoring(), LABELS, truths).why_not(Limits(calibration_loss=0.5)) is None


def test_scores_are_those_of_the_temperature() -> None:
    logits = saying(0, 0, 0, 0, lead=18)
    hot, cold = (compare(logits, logits, Scoring(temperature=t), LABELS, (0, 0, 0, 1)).before for t in (10.0, 1.0))
    assert hot and cold and hot.calibration_error < 0.05 < 0.2 < cold.calibration_error


def test_the_class_that_lost_most_is_named() -> None:
    found = compared((0, 0, 1, 1, 2, 2), (0, 0, 1, 0, 1, 1), (0, 0, 1, 1, 2, 2))
    assert found.worst_class() == ("owl", 1.0, 0.0)
    assert compared((0, 1), (0, 1), (0, 1)).worst_class() in {("cat", 1.0, 1.0), ("dog", 1.0, 1.0)}


def test_logits_are_those_of_the_graph_however_many_pictures(built: Path, key: str) -> None:
    graphs = read_graphs(built / GRAPHS_NAME, key)
    many = np.concatenate([graphs.probes] * 5)
    found = logits_of(graphs.paths["float32"], many, cores=1)
    assert len(found) == len(many) > 32
    np.testing.assert_allclose(found, np.concatenate([graphs.logits["float32"]] * 5), rtol=0, atol=1e-4)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "int8.xml").write_text("garbage")
    with pytest.raises(PackageError, match=r"int8\.xml"):
        logits_of(tmp_path / "int8.xml", tiny.blots(1), cores=1)


def test_scores_that_stand_alone_agree_where_none_has_moved_by_more_than_a_tenth() -> None:
    scoring, before = Scoring("sigmoid", 2.0), np.zeros((4, 3), np.float32)  # of 0.5 each
    after = before.copy()
    after[1, 2], after[2, 0], after[3] = 0.8, -0.9, (5, -5, 5)  # 0.599, 0.389, …
    found = compare(before, after, scoring, LABELS, (0, 1, 2, 0))
    assert found.agreement == 0.5
    assert (found.before, found.after) == (None, None), "one class of an image says nothing of the others"
    assert found.agreed == "no score moved by more than 0.1"
    assert found.why_not(Limits()) == "agreement is 50.00%, below 99.00%"


def test_of_one_class_the_best_says_nothing() -> None:
    before, after = np.full((2, 1), 3, np.float32), np.full((2, 1), -3, np.float32)
    assert compare(before, after, Scoring(), LABELS[:1], None).agreement == 1
    assert compare(before, after, Scoring("sigmoid"), LABELS[:1], None).agreement == 0
