"""Owns the tests of cli/progress.py."""

import io
import sys

import pytest

from app.cli.progress import file_progress, training_progress
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
