"""Owns what an int8 graph is worth beside the float one, on images whose ranges it does not have; makes no graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from app.engine.runners.best import best_classes
from app.engine.runners.openvino import CompiledGraph, infer
from app.graphs.folder import Logits, Pixels
from app.training.measure import Answered, Measures, measure

_BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What int8 may cost. Where classes of images are known, accuracy decides; else agreement of the best class."""

    agreement: float = 0.99
    accuracy_loss: float = 0.005
    calibration_loss: float = 0.01


@dataclass(frozen=True, slots=True)
class Comparison:
    """Float before and int8 after on the same images; shares are 0 … 1. `before` and `after` need known classes."""

    images: int
    agreement: float  # share whose best class is the same
    before: Measures | None
    after: Measures | None

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


def compare(
    before: Logits, after: Logits, temperature: float, labels: Sequence[str], truths: Sequence[int] | None
) -> Comparison:
    """Two sets of logits (n, classes) of the same images; `truths` (n,) where their classes are known."""
    same = float((before.argmax(axis=1) == after.argmax(axis=1)).mean())
    if truths is None:
        return Comparison(len(before), same, None, None)
    measures = [measure(_answers(logits, temperature, truths), labels) for logits in (before, after)]
    return Comparison(len(before), same, *measures)


def _answers(logits: Logits, temperature: float, truths: Sequence[int]) -> list[Answered]:
    scores = best_classes(logits, temperature, [min(5, logits.shape[1])] * len(logits))
    return [
        Answered(truth, tuple(best.indices), tuple(best.scores)) for truth, best in zip(truths, scores, strict=True)
    ]
