"""Owns what an int8 graph is worth beside the float one, on images whose ranges it does not have; makes no graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.domain import Scoring
from app.engine.runners.best import best_classes
from app.engine.runners.openvino import CompiledGraph, infer
from app.graphs.folder import Logits, Pixels
from app.graphs.scores import scores_of
from app.training.measure import Answered, Measures, measure

_BATCH: Final = 16
_MOVED: Final = 0.1  # of a score that stands for itself


@dataclass(frozen=True, slots=True)
class Limits:
    """What int8 may cost. Where classes of images are known, accuracy decides; else agreement."""

    agreement: float = 0.99
    accuracy_loss: float = 0.005
    calibration_loss: float = 0.01


@dataclass(frozen=True, slots=True)
class Comparison:
    """Float before and int8 after on the same images; shares are 0 … 1. `before` and `after` need known classes."""

    images: int
    agreement: float  # share of images that are alike, in the sense of `agreed`
    before: Measures | None
    after: Measures | None
    agreed: str = "same best class"

    def worst_class(self) -> tuple[str, float, float] | None:
        """(label, recall before, after) of the class that lost most."""
        if self.before is None or self.after is None:
            return None
        after = {each.label: each.recall for each in self.after.classes}
        pairs = [(each.label, each.recall, after.get(each.label, 0.0)) for each in self.before.classes if each.images]
        return max(pairs, key=lambda pair: pair[1] - pair[2])

    def why_not(self, limits: Limits) -> str | None:
        """What is lost beyond the limits; None if nothing."""
        if self.before is None or self.after is None:
            if self.agreement < limits.agreement:
                return f"agreement is {self.agreement:.2%}, below {limits.agreement:.2%}"
            return None
        if (lost := self.before.top1 - self.after.top1) > limits.accuracy_loss:
            return f"accuracy falls from {self.before.top1:.2%} to {self.after.top1:.2%}"
        if self.after.calibration_error - self.before.calibration_error > limits.calibration_loss:
            return (
                f"the calibration error rises from {self.before.calibration_error:.3f} to "
                f"{self.after.calibration_error:.3f} (accuracy: {0 - lost:+.2%})"
            )
        return None


def logits_of(graph: Path, pictures: Pixels, cores: int) -> Logits:
    """What a graph gives in float32 for pictures (n, height, width, 3)."""
    request = CompiledGraph(graph, "float32", cores, 1).request()
    parts = [np.ascontiguousarray(pictures[at : at + _BATCH]) for at in range(0, len(pictures), _BATCH)]
    return np.concatenate([infer(request, part) for part in parts])


def alike(before: Logits, after: Logits, scoring: Scoring) -> npt.NDArray[np.bool_]:
    """Of which images two sets of logits (n, classes) say the same, (n,).

    Of classes that exclude each other the best is the same; of others no score has moved by more than 0.1.
    """
    same: npt.NDArray[np.bool_]
    if scoring.activation == "softmax":
        same = before.argmax(axis=1) == after.argmax(axis=1)
    else:
        same = np.abs(scores_of(before, scoring) - scores_of(after, scoring)).max(axis=1) <= _MOVED
    return same


def compare(
    before: Logits, after: Logits, scoring: Scoring, labels: Sequence[str], truths: Sequence[int] | None
) -> Comparison:
    """Two sets of logits (n, classes) of the same images; `truths` (n,) where each shows one class that is known.

    Where classes do not exclude each other, one of an image's is not enough: then truths are left aside.
    """
    agreement = float(alike(before, after, scoring).mean())
    if scoring.activation != "softmax":
        return Comparison(len(before), agreement, None, None, f"no score moved by more than {_MOVED}")
    if truths is None:
        return Comparison(len(before), agreement, None, None)
    measured = [measure(_answers(logits, scoring, truths), labels) for logits in (before, after)]
    return Comparison(len(before), agreement, measured[0], measured[1])


def _answers(logits: Logits, scoring: Scoring, truths: Sequence[int]) -> list[Answered]:
    scores = best_classes(logits, scoring, [min(5, logits.shape[1])] * len(logits))
    return [
        Answered(truth, tuple(best.indices), tuple(best.scores)) for truth, best in zip(truths, scores, strict=True)
    ]
