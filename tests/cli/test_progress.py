"""Owns the tests of cli/progress.py."""

import io
import sys
import threading

import pytest

from app.cli import progress
from app.cli.progress import Tally, duration, file_progress, training_progress
from app.training.loop import EpochReport, StepReport
from app.training.run import LoadReport

REPORTS: list[LoadReport | StepReport | EpochReport] = [
    LoadReport(1, 2),
    LoadReport(2, 2),
    StepReport(11, 20, 0.9, 500.0),  # resumed in the middle
    EpochReport(3, 0.875, 0.5, 0.8125, 512.4, 1e-3),
    StepReport(12, 20, 0.75, 500.0),
]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def become_terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """In the test itself: pytest puts its own stderr in place after the fixtures."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_on_a_terminal_training_shows_loss_accuracy_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    screen = become_terminal(monkeypatch)
    with training_progress() as listen:
        for report in REPORTS:
            listen(report)
    shown = screen.getvalue()
    assert "training" in shown
    assert "12/20" in shown
    assert "loss 0.750, accuracy 81.2 % after epoch 3" in shown
    assert "left" in shown
    assert capsys.readouterr().out == ""


def test_without_a_terminal_there_is_a_line_for_each_epoch(capsys: pytest.CaptureFixture[str]):
    with training_progress() as listen:
        for report in REPORTS:
            listen(report)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("epoch 3: loss 0.8750, validation loss 0.5000, accuracy 81.25 %, 512 images/s, ")
    assert err.endswith(" min left\n") and err.count("\n") == 1


def test_many_files_on_a_terminal_move_a_bar(monkeypatch: pytest.MonkeyPatch):
    screen = become_terminal(monkeypatch)
    with file_progress(30) as advance:
        for _ in range(30):
            advance()
    assert "30/30" in screen.getvalue()


def test_a_few_files_move_none(monkeypatch: pytest.MonkeyPatch):
    screen = become_terminal(monkeypatch)
    with file_progress(3) as advance:
        advance()
    assert screen.getvalue() == ""


def test_without_a_terminal_no_bar_moves(capsys: pytest.CaptureFixture[str]):
    with file_progress(1000) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_a_tally_tells_rate_total_time_left_and_failures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    screen, now = io.StringIO(), 100.0
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    counted = threading.Event()

    def count() -> int:
        counted.set()
        return 1000

    tally = Tally(count)
    now += 2
    tally.skipped = 90
    tally.add("corrupt_image")
    assert counted.wait(5)
    for _ in range(9):
        tally.add(None)
    lines = screen.getvalue().splitlines()
    assert lines[0].startswith("91 images, 0 images/s") or lines[0].startswith("91 of 1,000 images, 0 images/s")
    assert tally.told() == "100 of 1,000 images, 5 images/s, 3 min 0 s left, without an answer: 1 corrupt_image"


def test_where_nobody_knows_how_many_there_are_none_is_told():
    tally = Tally(lambda: None)
    tally.add(None)
    assert tally.told().startswith("1 images, ")


def test_on_a_terminal_a_tally_is_one_line_that_makes_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_REWRITTEN_EVERY_S", 0.0)
    screen = become_terminal(monkeypatch)
    tally = Tally(lambda: None)
    tally.add(None)
    tally.add(None)
    tally.line.clear()
    tally.line.clear()
    assert screen.getvalue().count("\r") == 3 and "\n" not in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (7325, "2 h 2 min")]
)
def test_time_left_has_two_units(seconds: float, text: str):
    assert duration(seconds) == text
