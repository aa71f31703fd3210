"""Owns the tests of training/report.py."""

import math

import pytest
import torch
import torch.nn.functional as F

from app.training.report import confidence_threshold, evaluate_logits, fit_temperature


def logits_with_confidence(confidence: float, answers: list[int], classes: int = 2) -> torch.Tensor:
    """Logits whose softmax gives `confidence` to each answer and shares the rest evenly."""
    scores = torch.full((len(answers), classes), (1 - confidence) / (classes - 1))
    scores[torch.arange(len(answers)), torch.tensor(answers)] = confidence
    return scores.log()


def expected_calibration_error(logits: torch.Tensor, targets: torch.Tensor) -> float:
    return evaluate_logits(logits, targets).raw_calibration_error


def test_accuracy_confusion_precision_and_recall_by_hand():
    logits = logits_with_confidence(0.8, [0, 0, 1, 2, 2, 2], classes=3)
    evaluation = evaluate_logits(logits, torch.tensor([0, 1, 1, 2, 0, 2]))
    assert evaluation.confusion == ((1, 0, 1), (1, 1, 0), (0, 0, 2))
    assert evaluation.accuracy == pytest.approx(4 / 6)
    assert evaluation.images == 6
    assert [evaluation.recall(i) for i in range(3)] == [0.5, 0.5, 1.0]
    assert [evaluation.precision(i) for i in range(3)] == pytest.approx([0.5, 1.0, 2 / 3])


def test_a_class_that_is_never_the_answer_has_no_precision():
    evaluation = evaluate_logits(logits_with_confidence(0.9, [0, 0]), torch.tensor([0, 1]))
    assert evaluation.precision(1) == evaluation.recall(1) == 0


def test_calibration_error_by_hand():
    targets = torch.tensor([0, 0, 0, 1])
    assert expected_calibration_error(logits_with_confidence(0.75, [0] * 4), targets) == pytest.approx(0, abs=1e-6)
    assert expected_calibration_error(logits_with_confidence(0.95, [0] * 4), targets) == pytest.approx(0.2, abs=1e-6)


def test_gaps_in_different_bins_do_not_cancel():
    sure, unsure = logits_with_confidence(0.9, [0, 0]), logits_with_confidence(0.6, [0, 0])
    error = expected_calibration_error(torch.cat([sure, unsure]), torch.tensor([0, 1, 0, 0]))
    assert error == pytest.approx((0.4 + 0.4) / 2, abs=1e-6)  # too sure by 0.4, and too unsure by 0.4


def test_certainty_falls_in_the_last_bin():
    assert expected_calibration_error(torch.tensor([[1000.0, 0.0]]), torch.tensor([0])) == pytest.approx(0)


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_is_the_one_that_the_answers_were_drawn_with(truth: float):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 10, generator=generator)
    targets = torch.multinomial((logits / truth).softmax(dim=1), 1, generator=generator).flatten()
    fitted = fit_temperature(logits, targets)
    assert fitted == pytest.approx(truth, rel=0.05)
    loss = [F.cross_entropy(logits.double() / t, targets).item() for t in (fitted * 0.99, fitted, fitted * 1.01)]
    assert loss[1] == min(loss)


def test_calibration_lowers_the_error_of_an_overconfident_network():
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(5000, 5, generator=generator)
    targets = torch.multinomial((logits / 3).softmax(dim=1), 1, generator=generator).flatten()
    evaluation = evaluate_logits(logits, targets)
    assert evaluation.raw_calibration_error > 0.1
    assert evaluation.calibration_error < 0.03


def test_a_few_easy_images_do_not_make_the_temperature_extreme():
    assert 0.2 <= fit_temperature(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1])) <= 5
    assert math.isclose(fit_temperature(torch.tensor([[9.0, 0.0]]), torch.tensor([1])), 5, rel_tol=1e-3)


def test_the_bins_hold_every_answer_at_its_confidence():
    sure, unsure = logits_with_confidence(0.9, [0] * 30), logits_with_confidence(0.6, [0] * 10)
    evaluation = evaluate_logits(torch.cat([sure, unsure]), torch.tensor([0] * 27 + [1] * 3 + [0] * 6 + [1] * 4))
    filled = [each for each in evaluation.bins if each.images]
    assert [each.images for each in filled] == [10, 30]
    assert [each.accuracy for each in filled] == pytest.approx([0.6, 0.9])
    assert [each.confidence for each in filled] == pytest.approx([0.6, 0.9], abs=0.02)  # after a fitted temperature
    assert sum(each.images for each in evaluation.bins) == evaluation.images


@pytest.mark.parametrize(
    ("scores", "right", "threshold"),
    [
        pytest.param([0.9] * 19 + [0.8], [1] * 19 + [0], 0.8, id="19 of 20 are 95 %"),
        pytest.param([0.9] * 19 + [0.8] * 2, [1] * 19 + [0] * 2, None, id="equal scores stay together"),
        pytest.param([0.9] * 19, [1] * 19, None, id="19 answers show nothing"),
        pytest.param([0.9] * 20 + [0.5] * 20, [1] * 20 + [0] * 20, 0.9, id="the sure ones"),
        pytest.param([0.99] * 2 + [0.9] * 58, [0] * 2 + [1] * 58, 0.9, id="early mistakes are made good"),
        pytest.param([0.3] * 25, [1] * 25, 0.3, id="always right"),
        pytest.param([0.9] * 50, [0] * 50, None, id="never right"),
    ],
)
def test_the_threshold_keeps_answers_that_are_right_in_95_percent(
    scores: list[float], right: list[int], threshold: float | None
):
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(3))
    found = confidence_threshold(torch.tensor(scores).double()[order], torch.tensor(right).double()[order])
    assert found == (None if threshold is None else pytest.approx(threshold, abs=2e-6))


def test_the_mean_over_classes_leaves_out_those_without_images():
    evaluation = evaluate_logits(logits_with_confidence(0.8, [0, 0, 1], classes=3), torch.tensor([0, 1, 1]))
    assert evaluation.mean_over_classes == pytest.approx((1.0 + 0.5) / 2)


def test_share_and_precision_of_the_sure_answers_by_hand():
    sure, unsure = logits_with_confidence(0.9, [0] * 20), logits_with_confidence(0.6, [0] * 20)
    evaluation = evaluate_logits(torch.cat([sure, unsure]), torch.tensor([0] * 19 + [1] + [0] * 10 + [1] * 10))
    assert evaluation.sure_share == 0.5
    assert evaluation.sure_precision == pytest.approx(0.95)


def test_without_a_threshold_nothing_is_sure():
    evaluation = evaluate_logits(logits_with_confidence(0.9, [0] * 5), torch.tensor([0] * 5))
    assert evaluation.threshold is evaluation.sure_share is evaluation.sure_precision is None
