"""Owns the tests of training/measure.py."""

import math

import pytest
import torch

from app.training.measure import Answered, answers_of, measure, measure_out_of_scope

LABELS = ("cat", "dog", "owl", "newt")


def said(truth: int | None, *best: int, score: float = 0.7, sure: bool | None = None) -> Answered:
    rest = (1 - score) / max(len(best) - 1, 1)
    return Answered(truth, best, (score, *[rest] * (len(best) - 1)), sure)


def test_shares_by_hand():
    answers = [said(0, 0, 1, 2, 3), said(0, 1, 0, 2, 3), said(0, 0, 1, 2, 3), said(0, 0, 1, 2, 3), said(1, 0, 1, 2, 3)]
    result = measure(answers, LABELS)
    assert (result.images, result.top1, result.top5) == (5, 0.6, 1.0)
    assert result.mean_over_classes == pytest.approx((3 / 4 + 0 / 1) / 2)
    assert [(c.label, c.images, c.answers, c.right) for c in result.classes] == [("cat", 4, 4, 3), ("dog", 1, 1, 0)]
    assert (result.classes[0].recall, result.classes[0].precision) == (0.75, 0.75)
    assert result.log_loss == pytest.approx(-(3 * math.log(0.7) + 2 * math.log(0.1)) / 5)
    assert result.calibration_error == pytest.approx(0.1)  # 0.7 promised, 0.6 kept
    assert set(result.confusions) == {("cat", "dog", 1), ("dog", "cat", 1)}
    assert result.counts() == [[3, 1], [1, 0]]


def test_a_class_that_only_answers_name_has_no_say_in_the_mean():
    result = measure([said(0, 0, 1), said(0, 2, 0)], LABELS)
    assert [(c.label, c.images) for c in result.classes] == [("cat", 2), ("owl", 0)]
    assert result.mean_over_classes == 0.5
    assert result.classes[1].precision == 0


def test_without_all_scores_there_is_no_log_loss():
    result = measure([said(0, 0, 1), said(3, 1, 0)], LABELS)
    assert result.log_loss is None
    assert result.top5 == 0.5


def test_high_confidence_is_counted_where_the_model_has_a_threshold():
    answers = [said(0, 0, 1, sure=True), said(1, 0, 1, sure=True), said(1, 0, 1, sure=False), said(0, 0, 1, sure=False)]
    result = measure(answers, LABELS)
    assert (result.sure_share, result.sure_precision) == (0.5, 0.5)
    assert measure([said(0, 0, 1, sure=False)], LABELS).sure_precision is None
    without = measure([said(0, 0, 1)], LABELS)
    assert without.sure_share is without.sure_precision is None


def test_what_is_said_of_images_of_no_class():
    answers = [said(None, 1, 0, score=0.9, sure=True), said(None, 1, 0, sure=False), said(None, 2, 0, sure=False)]
    result = measure_out_of_scope(answers, LABELS)
    assert result.images == 3
    assert result.sure_share == pytest.approx(1 / 3)
    assert result.mean_score == pytest.approx((0.9 + 0.7 + 0.7) / 3)
    assert result.answers == (("dog", 2), ("owl", 1))
    assert measure_out_of_scope([said(None, 1, 0)], LABELS).sure_share is None


def test_logits_are_answered_as_in_service():
    logits = torch.tensor([[0.0, 2 * math.log(3)], [2 * math.log(9), 0.0]])
    answers = answers_of(logits, temperature=2.0, threshold=0.8)
    assert [(a.truth, a.indices, a.sure) for a in answers] == [(None, (1,), False), (None, (0,), True)]
    assert [a.scores[0] for a in answers] == pytest.approx([0.75, 0.9])
    assert [a.sure for a in answers_of(logits, 2.0, None)] == [None, None]
