"""Owns the charts of training and evaluation as PNG bytes; does not compute what they show."""

import io
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.insight.figures import save

_DPI: Final = 90
_MOST_NUMBERS: Final = 20  # classes up to which the numbers are written into a confusion matrix …
_MOST_NAMES: Final = 50  # … and the names beside it
_MOST_BARS: Final = 30
_LONGEST_NAME: Final = 18  # letters
_BLUE, _ORANGE, _RED = "C0", "C1", "C3"


def training_curve(log: Sequence[Mapping[str, str]]) -> bytes:
    """Rows of a log.csv: losses (nats), validation accuracy (%) and learning rate by epoch.

    A value that a row lacks, such as the rate in a log of an older version, is left out.
    """
    figure = Figure((9.2, 3.1), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    _line(loss, log, "train_loss", "training, augmented images")
    _line(loss, log, "validation_loss", "validation, averaged weights")
    _line(accuracy, log, "validation_accuracy", None, factor=100)
    _line(rate, log, "learning_rate", None)
    if loss.lines:
        loss.legend(fontsize="small")
    titles = {loss: "Loss", accuracy: "Validation accuracy (top-1)", rate: "Learning rate, end of epoch"}
    labels = {loss: "Cross-entropy (nats)", accuracy: "Images answered rightly (%)", rate: "Learning rate"}
    for axes, title in titles.items():
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("Epoch")
        axes.set_ylabel(labels[axes])
        axes.xaxis.get_major_locator().set_params(integer=True)
        _grid(axes)
    rate.set_ylim(bottom=0)
    return _png(figure)


def confusion_matrix(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """`counts[shown][answered]` in images; the shade is the share of the row, the images that show that class."""
    classes = len(labels)
    inches = min(2.2 + 0.4 * classes, 7.5)
    figure = Figure((inches + 1.6, inches + 0.6), layout="constrained")
    axes = figure.add_subplot()
    table = np.array(counts, dtype=np.int64).reshape(classes, classes)
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_title(f"Confusion matrix, {table.sum():,} images", fontsize="medium")
    unit = "" if classes <= _MOST_NAMES else " (number of the class)"
    axes.set_xlabel(f"Answered{unit}")
    axes.set_ylabel(f"Shown{unit}")
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02).set_label("Share of the row (%)")
    if classes <= _MOST_NAMES:
        size = "small" if classes <= _MOST_NUMBERS else "x-small"
        names = [_short(label) for label in labels]
        axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
        axes.set_yticks(range(classes), names, fontsize=size)
    if classes <= _MOST_NUMBERS:
        for shown, answered in np.argwhere(table):
            colour = "white" if shares[shown, answered] > 55 else "black"
            text = str(table[shown, answered])
            axes.text(answered, shown, text, ha="center", va="center", fontsize="small", color=colour)
    return _png(figure)


def reliability_diagram(bins: Sequence[tuple[int, float, float]], error: float, threshold: float | None) -> bytes:
    """Bins of equal width over scores 0 … 1, lowest first, as (images, mean score, share of right answers).

    `error` is the expected calibration error; from `threshold` on answers have high confidence. The form is that of
    arXiv 1706.04599, with the histogram below.
    """
    figure = Figure((5.6, 6.4), layout="constrained")
    curve, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
    width = 1 / len(bins)
    middles = [(i + 0.5) * width for i in range(len(bins))]
    filled = [(score, right) for images, score, right in bins if images]
    curve.bar(middles, [right if images else 0 for images, _, right in bins], 0.94 * width, color=_BLUE, alpha=0.3)
    curve.plot((0, 1), (0, 1), linestyle="--", color="grey", linewidth=1, label="a score that is the chance")
    curve.plot([x for x, _ in filled], [y for _, y in filled], marker="o", color=_BLUE, label="measured")
    curve.set_title(f"Reliability of scores, expected calibration error {error:.4f}", fontsize="medium")
    curve.set_ylabel("Share of right answers")
    curve.set_ylim(0, 1.02)
    histogram.bar(middles, [images for images, _, _ in bins], 0.94 * width, color=_BLUE)
    histogram.set_ylabel("Answers (images)")
    histogram.set_xlabel("Score of the best class")
    histogram.set_xlim(0, 1)
    for axes in (curve, histogram):
        _grid(axes)
        if threshold is not None:
            axes.axvline(threshold, color=_RED, linewidth=1.2, label=f"high confidence from {threshold:.3f} on")
    curve.legend(loc="upper left", fontsize="small")
    return _png(figure)


def class_accuracy(labels: Sequence[str], found: Sequence[float], right: Sequence[float]) -> bytes:
    """Per class the share of its images that were found (recall) and of its answers that were right (precision), 0 … 1.

    Of more than 30 classes those found least.
    """
    order = sorted(range(len(labels)), key=lambda label: -found[label])[-_MOST_BARS:]
    figure = Figure((6.8, 1.3 + 0.32 * len(order)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(order))
    axes.barh(places - 0.2, [100 * found[i] for i in order], 0.36, color=_BLUE, label="found: of the images of it")
    axes.barh(places + 0.2, [100 * right[i] for i in order], 0.36, color=_ORANGE, label="right: of the answers with it")
    mean = 100 * sum(found) / max(len(found), 1)
    axes.axvline(mean, color="grey", linestyle="--", linewidth=1, label=f"mean over classes found, {mean:.1f} %")
    few = "" if len(order) == len(labels) else f", the {len(order)} found least of {len(labels):,}"
    axes.set_title(f"Accuracy of every class{few}", fontsize="medium")
    axes.set_xlabel("Share (%)")
    axes.set_xlim(0, 100)
    axes.set_yticks(places, [_short(labels[i]) for i in order], fontsize="small")
    axes.set_ylim(len(order) - 0.4, -0.6)
    _grid(axes)
    figure.legend(loc="outside lower center", ncols=3, fontsize="x-small", frameon=False)
    return _png(figure)


def _line(axes: Axes, log: Sequence[Mapping[str, str]], column: str, label: str | None, factor: float = 1) -> None:
    points = [(int(row["epoch"]), factor * float(row[column])) for row in log if row.get(column)]
    if not points:
        axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center")
        return
    marker = "." if len(points) <= 40 else ""
    axes.plot([epoch for epoch, _ in points], [value for _, value in points], marker=marker, label=label)


def _grid(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def _short(name: str) -> str:
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    save(figure, buffer, _DPI)
    return buffer.getvalue()
