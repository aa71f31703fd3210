"""Owns what the answers of a model in service say of it; does not ask for answers or write text."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.training.report import Bin, calibration_error, reliability


@dataclass(frozen=True, slots=True)
class Answered:
    """One image's answer: class indices by descending score, and the scores; `truth` None: it shows no class."""

    truth: int | None
    indices: tuple[int, ...]
    scores: tuple[float, ...]
    sure: bool | None = None  # its confidence was high; None: the model has no threshold


@dataclass(frozen=True, slots=True)
class ClassMeasure:
    """One class: images that show it, answers that name it, and how many of both are the same, so right."""

    label: str
    images: int
    answers: int
    right: int

    @property
    def recall(self) -> float:
        """Share of its images that were recognised."""
        return self.right / max(self.images, 1)

    @property
    def precision(self) -> float:
        """Share of the answers naming it that were right; 0 where it was never the answer."""
        return self.right / max(self.answers, 1)


@dataclass(frozen=True, slots=True)
class Measures:
    """What answers are worth; shares are 0 … 1.

    `classes` are those of which there are images or answers. `sure_share` of the answers had high confidence, of which
    `sure_precision` were right; both are None where the model has no threshold, the latter also where no answer
    reached it. `log_loss` is in nats, None where some answer does not name the right class at all, because fewer
    classes were asked for than there are.
    """

    images: int
    top1: float
    top5: float
    mean_over_classes: float
    calibration_error: float
    log_loss: float | None
    sure_share: float | None
    sure_precision: float | None
    classes: tuple[ClassMeasure, ...]
    bins: tuple[Bin, ...]
    confusions: tuple[tuple[str, str, int], ...]  # (shown, answered, images), the most frequent mistakes first

    def counts(self) -> list[list[int]]:
        """The confusion matrix over `classes`: rows are what the images show, columns the answers."""
        place = {each.label: i for i, each in enumerate(self.classes)}
        matrix = [[0] * len(place) for _ in place]
        for each in self.classes:
            matrix[place[each.label]][place[each.label]] = each.right
        for shown, answered, images in self.confusions:
            matrix[place[shown]][place[answered]] = images
        return matrix


def measure(answers: Sequence[Answered], labels: Sequence[str]) -> Measures:
    """Judges answers (at least one) by their truths."""
    pairs = Counter((labels[_truth(a)], labels[a.indices[0]]) for a in answers)
    shown, named = Counter[str](), Counter[str]()
    for (truth, answer), count in pairs.items():
        shown[truth] += count
        named[answer] += count
    classes = tuple(
        ClassMeasure(label, shown[label], named[label], pairs[label, label])
        for label in dict.fromkeys(labels)
        if shown[label] or named[label]
    )
    right = [a.truth == a.indices[0] for a in answers]
    bins = reliability(torch.tensor([a.scores[0] for a in answers]).double(), torch.tensor(right).double())
    sure = [good for a, good in zip(answers, right, strict=True) if a.sure]
    rated = all(a.sure is not None for a in answers)
    recalls = [each.recall for each in classes if each.images]
    return Measures(
        images=len(answers),
        top1=sum(right) / len(answers),
        top5=sum(a.truth in a.indices[:5] for a in answers) / len(answers),
        mean_over_classes=sum(recalls) / len(recalls),
        calibration_error=calibration_error(bins),
        log_loss=_log_loss(answers),
        sure_share=len(sure) / len(answers) if rated else None,
        sure_precision=sum(sure) / len(sure) if rated and sure else None,
        classes=classes,
        bins=bins,
        confusions=tuple((t, a, n) for (t, a), n in pairs.most_common() if t != a),
    )


@dataclass(frozen=True, slots=True)
class OutOfScope:
    """Answers to images of none of the classes: the share that was wrongly sure, and what was answered how often."""

    images: int
    sure_share: float | None
    mean_score: float
    answers: tuple[tuple[str, int], ...]


def answers_of(logits: Tensor, temperature: float, threshold: float | None) -> list[Answered]:
    """The best answers that serving would give for logits (n, classes) of images that show none of the classes."""
    scores, indices = (logits.double() / temperature).softmax(dim=1).max(dim=1)
    return [
        Answered(None, (index,), (score,), None if threshold is None else score >= threshold)
        for index, score in zip(indices.tolist(), scores.tolist(), strict=True)
    ]


def measure_out_of_scope(answers: Sequence[Answered], labels: Sequence[str]) -> OutOfScope:
    """Counts what a model says (at least one answer) of what it does not know."""
    named = Counter(labels[a.indices[0]] for a in answers)
    rated = all(a.sure is not None for a in answers)
    return OutOfScope(
        images=len(answers),
        sure_share=sum(bool(a.sure) for a in answers) / len(answers) if rated else None,
        mean_score=sum(a.scores[0] for a in answers) / len(answers),
        answers=tuple(named.most_common()),
    )


def _truth(answer: Answered) -> int:
    assert answer.truth is not None
    return answer.truth


def _log_loss(answers: Sequence[Answered]) -> float | None:
    total = 0.0
    for answer in answers:
        scores = dict(zip(answer.indices, answer.scores, strict=True))
        if (score := scores.get(_truth(answer))) is None:
            return None
        total -= math.log(max(score, 1e-12))
    return total / len(answers)
