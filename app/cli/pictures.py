"""Owns which charts lie beside a trained model, and their file names; neither measures nor draws."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.training.report import Evaluation


def draw_run(out: Path, classes: Sequence[str], evaluation: "Evaluation") -> tuple[str, ...]:
    """Writes the course of the run, which log.csv there tells, and what validation showed; returns the file names."""
    from app.insight import charts
    from app.training.log import LOG_NAME, read_log

    labels, bins = range(len(classes)), [astuple(each) for each in evaluation.bins]
    pictures = {
        "log.png": charts.training_curve(read_log(out / LOG_NAME)),
        "confusion.png": charts.confusion_matrix(evaluation.confusion, classes),
        "reliability.png": charts.reliability_diagram(bins, evaluation.calibration_error, evaluation.threshold),
        "classes.png": charts.class_accuracy(
            classes, list(map(evaluation.recall, labels)), list(map(evaluation.precision, labels))
        ),
    }
    for name, png in pictures.items():
        (out / name).write_bytes(png)
    return tuple(pictures)
