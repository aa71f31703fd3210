"""Owns the tests of insight/charts.py: that pictures are small, and that what is drawn has the right size and place."""

import io

import numpy as np
import pytest
from PIL import Image

from app.insight.charts import class_accuracy, confusion_matrix, reliability_diagram, training_curve

BLUE, ORANGE, RED = (31, 119, 180), (255, 127, 14), (214, 39, 40)
DARKEST = (8, 48, 107)  # of the shades of a confusion matrix


def pixels(png: bytes) -> np.ndarray:
    assert 5_000 < len(png) < 60_000
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert min(image.size) > 150
        return np.asarray(image.convert("RGB")).astype(int)


def marked(picture: np.ndarray, colour: tuple[int, int, int], within: int = 2) -> np.ndarray:
    return np.asarray((abs(picture - colour) <= within).all(axis=2))


def log(epochs: int, **more: str) -> list[dict[str, str]]:
    columns = {"train_loss": "2.0", "validation_loss": "1.0", "validation_accuracy": "0.5"} | more
    return [{"epoch": str(i + 1), **columns} for i in range(epochs)]


def test_the_course_has_three_panels_and_two_losses():
    picture = pixels(training_curve(log(30, learning_rate="0.001")))
    panels = [marked(part, BLUE) for part in np.array_split(picture, 3, axis=1)]
    assert all(panel.sum() > 300 for panel in panels)
    training, validation = (np.argwhere(marked(picture, colour))[:, 0] for colour in (BLUE, ORANGE))
    assert np.median(training) < np.median(validation)  # the larger loss is above


def test_a_rate_that_was_not_logged_is_left_out():
    older, newer = log(5), log(5, learning_rate="0.001")
    parts = [np.array_split(pixels(training_curve(rows)), 3, axis=1)[2] for rows in (older, newer)]
    assert not marked(parts[0], BLUE).any()
    assert marked(parts[1], BLUE).any()
    assert (pixels(training_curve(log(5, learning_rate=""))) == pixels(training_curve(older))).all()


@pytest.mark.parametrize("epochs", [0, 1, 500])
def test_a_course_of_any_length_is_drawn(epochs: int):
    pixels(training_curve(log(epochs, learning_rate="0.001")))


@pytest.mark.parametrize("classes", [2, 10, 20, 30, 100])
def test_what_is_never_confused_is_a_dark_diagonal(classes: int):
    picture = pixels(confusion_matrix(np.diag([3] * classes).tolist(), [f"class {i}" for i in range(classes)]))
    dark = np.argwhere(marked(picture, DARKEST)[:, : int(0.82 * picture.shape[1])])  # without the scale on the right
    down, across = (dark - dark.min(axis=0)).T
    assert np.corrcoef(down, across)[0, 1] > (0.6 if classes == 2 else 0.98)
    area = (np.ptp(down) + 1) * (np.ptp(across) + 1)
    assert len(dark) / area == pytest.approx(1 / classes, rel=0.35)  # the numbers are white


def test_rows_are_what_is_shown():
    picture = pixels(confusion_matrix([[0, 5], [0, 5]], ["a", "b"]))
    dark = marked(picture, DARKEST)[:, : int(0.82 * picture.shape[1])]
    rows, columns = np.ptp(np.argwhere(dark), axis=0)
    assert rows / columns == pytest.approx(2, rel=0.1)  # one column: whatever is shown, the answer is b


def test_a_class_without_images_is_a_blank_row():
    blank = pixels(confusion_matrix([[0, 0], [0, 0]], ["a", "b"]))
    assert not marked(blank[:, : int(0.82 * blank.shape[1])], DARKEST).any()


def test_the_histogram_has_a_bar_for_each_bin_that_is_not_empty():
    bins = [(0, 0.0, 0.0)] * 5 + [(100, (i + 0.5) / 15, 0.5) for i in range(5, 15)]
    picture = pixels(reliability_diagram(bins, 0.1, None))
    row = marked(picture, BLUE)[int(0.85 * picture.shape[0])]
    assert int((np.diff(row.astype(int), prepend=0) == 1).sum()) == 10
    assert not marked(picture, RED).any()


@pytest.mark.parametrize("threshold", [0.25, 0.75])
def test_the_threshold_is_a_line_through_both(threshold: float):
    bins = [(10, (i + 0.5) / 15, (i + 0.5) / 15) for i in range(15)]
    picture = pixels(reliability_diagram(bins, 0.0, threshold))
    columns = marked(picture, RED, within=90).sum(axis=0)  # a thin line between two columns of pixels
    assert columns.max() > 0.6 * picture.shape[0]
    bars = np.flatnonzero(marked(picture, BLUE)[int(0.85 * picture.shape[0])])
    assert (columns.argmax() - bars[0]) / np.ptp(bars) == pytest.approx(threshold, abs=0.02)


def test_bars_are_as_long_as_their_share():
    picture = pixels(class_accuracy(["cat", "a $dog$ of 猫"], [1.0, 0.5], [0.25, 0.75]))
    picture = picture[: int(0.75 * picture.shape[0])]  # without the legend
    found, right = (sorted(set(marked(picture, c).sum(axis=1)) - {0})[-1] for c in (BLUE, ORANGE))
    assert right / found == pytest.approx(0.75, abs=0.02)


def test_of_many_classes_the_weakest_are_shown():
    count = 200
    shares = [i / count for i in range(count)]
    picture = pixels(class_accuracy([f"class {i}" for i in range(count)], shares, shares))
    widths = marked(picture, BLUE)[: int(0.9 * picture.shape[0])].sum(axis=1)
    assert 0 < widths.max() < 0.25 * picture.shape[1]  # none of those above 20 %
