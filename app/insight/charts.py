"""Owns the charts of training and evaluation: course, confusion, reliability; does not compute what they show."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_NUMBERS: Final = 20  # classes up to which the numbers are written into a confusion matrix
_DPI: Final = 90


class Bin(Protocol):
    """Answers of similar score: how many, and the means of their score and of being right, 0 … 1."""

    @property
    def images(self) -> int:
        """How many."""
        ...

    @property
    def confidence(self) -> float:
        """Their mean score."""
        ...

    @property
    def accuracy(self) -> float:
        """The share that was right."""
        ...


def training_curve(log: Sequence[Mapping[str, str]]) -> bytes:
    """The rows of a log.csv → PNG: losses, validation accuracy and, where it was logged, the learning rate by epoch."""
    figure, axes = _canvas(3, (10, 3.2))
    epochs = [int(row["epoch"]) for row in log]

    def draw(axis: Axes, name: str, label: str | None = None, factor: float = 1) -> None:
        points = [(e, factor * float(row[name])) for e, row in zip(epochs, log, strict=True) if row.get(name)]
        axis.plot(*zip(*points, strict=True) if points else ((), ()), label=label, marker="." if len(log) < 40 else "")

    loss, accuracy, rate = axes
    draw(loss, "train_loss", "training")
    draw(loss, "validation_loss", "validation")
    loss.legend()
    draw(accuracy, "validation_accuracy", factor=100)
    draw(rate, "learning_rate")
    titles = ("Cross-entropy (nats)", "Validation accuracy (%)", "Learning rate at the epoch's end")
    for axis, title in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
    return _png(figure)


def confusion_matrix(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """`counts[shown][answered]` → PNG; the shade is the share of the row's images, the numbers are images."""
    size = min(2.5 + 0.5 * len(labels), 12)
    figure, (axis,) = _canvas(1, (size, size))
    shares = [[n / max(sum(row), 1) for n in row] for row in counts]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="answered", ylabel="shown", title="Images by what they show and what was answered")
    axis.title.set_fontsize(10)
    if len(labels) > _NUMBERS:
        return _png(figure)
    ticks = range(len(labels))
    axis.set_xticks(ticks, labels, rotation=45, ha="right")
    axis.set_yticks(ticks, labels)
    for y, row in enumerate(counts):
        for x, number in enumerate(row):
            if number:
                axis.text(x, y, str(number), ha="center", va="center", color="white" if shares[y][x] > 0.5 else "black")
    return _png(figure)


def reliability_diagram(bins: Sequence[Bin], error: float, threshold: float | None) -> bytes:
    """Bins of equal width, lowest first → PNG.

    `error` is the expected calibration error; the `threshold` of confident answers is marked.
    """
    figure, (curve, histogram) = _canvas(2, (9, 4))
    width = 1 / len(bins)
    filled = [(each.confidence, each.accuracy) for each in bins if each.images]
    curve.plot((0, 1), (0, 1), linestyle="--", color="grey", label="as promised")
    curve.plot(*zip(*filled, strict=True) if filled else ((), ()), marker="o", label="measured")
    curve.set(title=f"Expected calibration error {error:.3f}", xlabel="score", ylabel="share of right answers")
    curve.legend()
    images = [each.images for each in bins]
    histogram.bar([(i + 0.5) * width for i in range(len(bins))], images, width=0.9 * width)
    histogram.set(title="How often each score was given", xlabel="score", ylabel="images")
    for axis in (curve, histogram):
        axis.set_xlim(0, 1)
        axis.grid(alpha=0.3)
        if threshold is not None:
            axis.axvline(threshold, color="tab:red", linewidth=1, label="high confidence from here")
    curve.legend()
    return _png(figure)


def _canvas(count: int, size: tuple[float, float]) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `size` inches with `count` axes beside each other."""
    figure = Figure(figsize=size, layout="constrained")
    axes: Any = figure.subplots(1, count, squeeze=False)
    return figure, list(axes[0])


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
