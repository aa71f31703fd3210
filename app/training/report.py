"""Owns what validation logits say: accuracy, confusion, calibration; does not run networks or write text."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

_TEMPERATURES: Final = (0.2, 5.0)  # a fit beyond would say more about too few images than about the network
_BINS: Final = 15
_PRECISION: Final = 0.95  # of the answers called sure
_LEAST_ANSWERS: Final = 20  # fewer cannot show a precision of 95 %


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of similar confidence: how many, and the means of their confidence and of being right, 0 … 1."""

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network on its validation images; shares are 0 … 1.

    `confusion[truth][answer]` counts images. `raw_calibration_error` is before, `calibration_error` after the
    logits were divided by `temperature`, which was fitted on these same images. `threshold` and `bins` are of the
    scores after it; `sure_share` of the answers reach the threshold, of which `sure_precision` are right.
    """

    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    temperature: float
    raw_calibration_error: float
    calibration_error: float
    threshold: float | None
    sure_share: float | None
    sure_precision: float | None
    bins: tuple[Bin, ...]

    @property
    def images(self) -> int:
        """How many images were judged."""
        return sum(map(sum, self.confusion))

    @property
    def mean_over_classes(self) -> float:
        """Share of its images that were recognised, averaged over the classes of which there are any."""
        shown = [label for label, row in enumerate(self.confusion) if any(row)]
        return sum(map(self.recall, shown)) / max(len(shown), 1)

    def recall(self, label: int) -> float:
        """Share of the images of this class that were recognised."""
        return self.confusion[label][label] / max(sum(self.confusion[label]), 1)

    def precision(self, label: int) -> float:
        """Share of the answers with this class that were right; 0 where it was never the answer."""
        return self.confusion[label][label] / max(sum(row[label] for row in self.confusion), 1)


def evaluate_logits(logits: Tensor, targets: Tensor) -> Evaluation:
    """Judges logits (n, classes) by targets (n,), both on the CPU."""
    classes = logits.shape[1]
    temperature = fit_temperature(logits, targets)
    counts = torch.bincount(targets * classes + logits.argmax(dim=1), minlength=classes * classes)
    confidence, right = _judge(logits / temperature, targets)
    bins = reliability(confidence, right)
    threshold = confidence_threshold(confidence, right)
    sure = right[confidence >= threshold] if threshold is not None else None
    return Evaluation(
        accuracy=right.mean().item(),
        confusion=tuple(map(tuple, counts.view(classes, classes).tolist())),
        temperature=temperature,
        raw_calibration_error=calibration_error(reliability(*_judge(logits, targets))),
        calibration_error=calibration_error(bins),
        threshold=threshold,
        sure_share=None if sure is None else len(sure) / len(right),
        sure_precision=None if sure is None else sure.mean().item(),
        bins=bins,
    )


def _judge(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(score of the best class, 1 where it is the right one and else 0), both (n,) in float64."""
    confidence, answers = logits.double().softmax(dim=1).max(dim=1)
    return confidence, (answers == targets).double()


def reliability(confidence: Tensor, right: Tensor) -> tuple[Bin, ...]:
    """Answers (n,) sorted into 15 bins of equal width by their score (arXiv 1706.04599)."""
    place = (confidence * _BINS).long().clamp_(max=_BINS - 1)
    counts = torch.bincount(place, minlength=_BINS)
    sums = (torch.bincount(place, weights=values, minlength=_BINS) for values in (confidence, right))
    means = ((total / counts.clamp(min=1)).tolist() for total in sums)
    return tuple(map(Bin, counts.tolist(), *means))


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Expected calibration error: gap between confidence and accuracy, averaged over the bins by their images."""
    images = sum(each.images for each in bins)
    return sum(each.images * abs(each.confidence - each.accuracy) for each in bins) / max(images, 1)


def confidence_threshold(confidence: Tensor, right: Tensor) -> float | None:
    """The lowest score such that the answers with at least that score are right in 95 % of the cases.

    None where no score does it for 20 answers or more.
    """
    scores, order = confidence.sort(descending=True)
    count = torch.arange(1, len(scores) + 1)
    precise = right[order].cumsum(dim=0) / count >= _PRECISION
    complete = torch.cat([scores[1:] < scores[:-1], torch.ones(1, dtype=torch.bool)])  # no equal score follows
    good = (precise & complete & (count >= _LEAST_ANSWERS)).nonzero().flatten()
    return math.floor(scores[good[-1]].item() * 1e6) / 1e6 if len(good) else None


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The number to divide logits by so that their softmax has the least negative log-likelihood."""
    exact = logits.double()
    low, high = map(math.log, _TEMPERATURES)
    best = _minimise(lambda x: F.cross_entropy(exact / math.exp(x), targets).item(), low, high)
    return round(math.exp(best), 4)


def _minimise(function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-5) -> float:
    """Golden section search of a function with one valley."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > tolerance:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2
