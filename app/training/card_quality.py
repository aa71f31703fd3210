"""Owns the sections of a model card that say how good the answers are; does not measure anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.training.markdown import percent, picture, table
from app.training.measure import OutOfScope
from app.training.report import Evaluation

_MATRIX_CLASSES: Final = 20  # a wider table cannot be read
_WORST_CONFUSIONS: Final = 20
_MOST_ANSWERS: Final = 20


@dataclass(frozen=True, slots=True)
class Beyond:
    """What is answered to images of none of the classes; `data` is a bare file name."""

    data: str
    measured: OutOfScope


def accuracy(classes: Sequence[str], evaluation: Evaluation, changed: float, pictures: Sequence[str]) -> Iterator[str]:
    """Top-1, over all and for each class, and what is taken for what."""
    rows = [
        (name, sum(evaluation.confusion[i]), percent(evaluation.recall(i)), percent(evaluation.precision(i)))
        for i, name in enumerate(classes)
    ]
    yield "## Accuracy"
    yield (
        f"{percent(evaluation.accuracy)} of {evaluation.images:,} validation images (top-1); mean over the classes "
        f"{percent(evaluation.mean_over_classes)}. Found: share of the images of the class that got this answer. "
        "Right: share of such answers that were right."
    )
    yield (
        f"Changed at random as in training (what is cut out, colours and all else that the recipe names), "
        f"{percent(changed)} of the same images were answered correctly."
    )
    yield table(("class", "images", "found", "right"), rows)
    yield from picture("classes.png", "Bars: found and right for every class", pictures)
    yield from picture("confusion.png", "The confusion matrix as shades", pictures)
    if len(classes) <= _MATRIX_CLASSES:
        yield "The confusion matrix. Rows: what the image shows. Columns: what the answer was."
        matrix = [(name, *row) for name, row in zip(classes, evaluation.confusion, strict=True)]
        yield table(("", *classes), matrix)
        return
    pairs = [
        (count, classes[truth], classes[answer])
        for truth, row in enumerate(evaluation.confusion)
        for answer, count in enumerate(row)
        if count and truth != answer
    ]
    yield "The pairs confused most:"
    yield table(("images", "shown", "answered"), sorted(pairs, reverse=True)[:_WORST_CONFUSIONS])


def calibration(evaluation: Evaluation, pictures: Sequence[str]) -> Iterator[str]:
    """Whether a score is the chance to be right."""
    width = 1 / len(evaluation.bins)
    rows = [
        (f"{i * width:.2f} – {(i + 1) * width:.2f}", each.images, percent(each.confidence), percent(each.accuracy))
        for i, each in enumerate(evaluation.bins)
        if each.images
    ]
    yield "## Calibration"
    yield (
        f"Logits are divided by the temperature {evaluation.temperature} before the softmax, one number fitted on the "
        "validation images. The expected calibration error (15 bins, the same images) is "
        f"{evaluation.raw_calibration_error:.4f} without it and {evaluation.calibration_error:.4f} with it: by so much "
        "does a score, read as the chance that the answer is right, miss on average."
    )
    yield from picture("reliability.png", "Right answers by score, and how often each score is given", pictures)
    yield table(("score", "answers", "mean score", "right"), rows)


def confidence(evaluation: Evaluation) -> Iterator[str]:
    """Which answers are called sure."""
    yield "## Confidence"
    if evaluation.threshold is None or evaluation.sure_share is None or evaluation.sure_precision is None:
        yield (
            "No score is so high that 95 % of 20 or more validation answers with at least that score are right. So the "
            "package has no threshold, and its answers do not say whether their confidence is high or low."
        )
        return
    yield (
        f'An answer whose score is at least {evaluation.threshold:.4f} carries `"confidence": "high"`, any other '
        f'`"low"`. {percent(evaluation.sure_share)} of the validation answers reach it, of which '
        f"{percent(evaluation.sure_precision)} are right; the threshold is the lowest with which 95 % are, chosen on "
        "these same images."
    )


def out_of_scope(beyond: Beyond | None) -> Iterator[str]:
    """What happens to images of something else."""
    yield "## Images of none of the classes"
    if beyond is None:
        yield "Not measured: the run was given no such images (`--out-of-scope`)."
        return
    measured = beyond.measured
    sure = (
        "the package has no threshold that would tell the sure answers"
        if measured.sure_share is None
        else f'{percent(measured.sure_share)} of them would be answered with `"confidence": "high"`, each time wrongly'
    )
    yield (
        f"`{beyond.data}`: {measured.images:,} images that show none of the classes; {sure}. The mean score of the "
        f"best class is {percent(measured.mean_score)}. What they were taken for:"
    )
    rows = [(label, count, percent(count / measured.images)) for label, count in measured.answers[:_MOST_ANSWERS]]
    yield table(("answered", "images", "share"), rows)
    if (more := len(measured.answers) - _MOST_ANSWERS) > 0:
        yield f"And {more} other classes, none of them more often."
