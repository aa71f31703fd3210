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


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network on its validation images; shares are 0 … 1.

    `confusion[truth][answer]` counts images. `raw_calibration_error` is before, `calibration_error` after the
    logits were divided by `temperature`, which was fitted on these same images.
    """

    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    temperature: float
    raw_calibration_error: float
    calibration_error: float

    @property
    def images(self) -> int:
        """How many images were judged."""
        return sum(map(sum, self.confusion))

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
    return Evaluation(
        accuracy=(logits.argmax(dim=1) == targets).double().mean().item(),
        confusion=tuple(map(tuple, counts.view(classes, classes).tolist())),
        temperature=temperature,
        raw_calibration_error=expected_calibration_error(logits, targets),
        calibration_error=expected_calibration_error(logits / temperature, targets),
    )


def expected_calibration_error(logits: Tensor, targets: Tensor) -> float:
    """Gap between confidence and accuracy, averaged over 15 bins of equal width by their images (arXiv 1706.04599)."""
    confidence, answers = logits.double().softmax(dim=1).max(dim=1)
    right = (answers == targets).double()
    bins = (confidence * _BINS).long().clamp_(max=_BINS - 1)
    gap = torch.zeros(_BINS, dtype=torch.float64).index_add_(0, bins, confidence - right)
    return gap.abs().sum().item() / len(targets)


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
