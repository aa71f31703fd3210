"""Owns the tests that a run begins with given weights under a head of zeros, and ends when it gets no better."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.errors import SetupError
from app.training.dataset import split
from app.training.loop import EpochReport, StepReport, Trainer
from app.training.recipe import Recipe
from app.training.start import load_start
from tests.training.pictures import RECIPE, fresh, stripes, write_start

CPU = torch.device("cpu")
TUNING = replace(RECIPE, variant="", drop_rate=0.1, drop_path_rate=0.3, patience=2)
DATA = split(stripes(80), 0.2, seed=1)


def trainer(source: Path, recipe: Recipe = TUNING, precision: torch.dtype = torch.float32) -> Trainer:
    return Trainer(recipe, load_start(str(source), recipe), 2, CPU, precision)


def told(run: Iterator[StepReport | EpochReport]) -> list[tuple[float, ...]]:
    """All that does not depend on the clock."""
    return [(r.step, r.loss) if isinstance(r, StepReport) else (r.epoch, r.validation_loss) for r in run]


def scripted(subject: Trainer, monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> list[dict[str, torch.Tensor]]:
    """Makes validation find these losses; returns a list that fills with the averaged weights of each epoch."""
    seen: list[dict[str, torch.Tensor]] = []

    def evaluate(_: object) -> tuple[float, float, torch.Tensor]:
        seen.append({name: value.clone() for name, value in subject.average.state_dict().items()})
        return losses[subject.epoch - 1], 0.5, torch.zeros(1)

    monkeypatch.setattr(subject, "evaluate", evaluate)
    return seen


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("changes", [{}, {"distilled": True}, {"stem_widths": (8, 8, 16)}], ids=str)
def test_the_first_loss_is_that_of_a_head_that_knows_nothing(
    tmp_path: Path, changes: dict[str, Any], precision: torch.dtype
):
    subject = trainer(write_start(tmp_path / "start", **changes), precision=precision)
    first = next(subject.run(*DATA, tmp_path / "c.pt"))
    assert isinstance(first, StepReport)
    assert first.loss == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("changes", [{}, {"stem_widths": (8, 8, 16)}, {"in_chans": 1}], ids=str)
def test_an_easy_problem_is_learnt_from_a_start(tmp_path: Path, changes: dict[str, Any]):
    recipe = replace(
        TUNING, epochs=12, batch_size=32, learning_rate=0.01, ema_decay=0.9, drop_path_rate=0.0, patience=0
    )
    subject = trainer(write_start(tmp_path / "start", **changes), recipe)
    train, validation = split(stripes(320), 0.2, seed=1)
    *_, last = subject.run(train, validation, tmp_path / "c.pt")
    assert isinstance(last, EpochReport)
    assert last.validation_accuracy > 0.9


def test_a_resumed_run_from_a_start_is_the_uninterrupted_one_bit_by_bit(tmp_path: Path):
    source = write_start(tmp_path / "start", stem_widths=(8, 8, 16))
    recipe = replace(TUNING, freeze="1")
    whole = trainer(source, recipe)
    expected = told(whole.run(*DATA, tmp_path / "whole.pt"))
    broken = trainer(source, recipe).run(*DATA, tmp_path / "broken.pt")
    first = [next(broken) for _ in range(7)]  # 4 steps and the epoch, then 2 steps that are lost
    assert isinstance(first[4], EpochReport)
    resumed = trainer(source, recipe)
    assert told(resumed.run(*DATA, tmp_path / "broken.pt")) == expected[5:]
    assert (resumed.best.epoch, resumed.best.loss) == (whole.best.epoch, whole.best.loss)
    for ours, theirs in ((resumed.master, whole.master), (resumed.average, whole.average)):
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_a_run_resumed_from_another_start_is_refused(tmp_path: Path):
    source = write_start(tmp_path / "start")
    told(trainer(source).run(*DATA, tmp_path / "c.pt"))
    other = trainer(write_start(tmp_path / "other", seed=6))
    for subject in (other, Trainer(RECIPE, fresh(), 2, CPU, torch.float32)):
        with pytest.raises(SetupError, match=r"c\.pt: was trained from another start"):
            next(subject.run(*DATA, tmp_path / "c.pt"))


def test_it_stops_without_improvement_and_ends_with_the_best_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    subject = trainer(write_start(tmp_path / "start"), replace(TUNING, epochs=9))
    seen = scripted(subject, monkeypatch, [3.0, 1.0, 2.0, 2.0])
    reports = told(subject.run(*DATA, tmp_path / "c.pt"))
    assert reports[-1][0] == 4
    assert subject.best.epoch == 2
    assert all(torch.equal(value, seen[1][name]) for name, value in subject.average.state_dict().items())
    assert not torch.equal(seen[1]["head.weight"], seen[3]["head.weight"])


def test_a_stopped_run_resumes_to_nothing_but_its_best_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source, recipe = write_start(tmp_path / "start"), replace(TUNING, epochs=9)
    subject = trainer(source, recipe)
    seen = scripted(subject, monkeypatch, [3.0, 1.0, 2.0, 2.0])
    told(subject.run(*DATA, tmp_path / "c.pt"))
    again = trainer(source, recipe)
    assert told(again.run(*DATA, tmp_path / "c.pt")) == []
    assert all(torch.equal(value, seen[1][name]) for name, value in again.average.state_dict().items())


def test_without_patience_the_last_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    subject = trainer(write_start(tmp_path / "start"), replace(TUNING, patience=0))
    seen = scripted(subject, monkeypatch, [1.0, 2.0, 3.0])
    assert told(subject.run(*DATA, tmp_path / "c.pt"))[-1] == (3, 3.0)
    assert all(torch.equal(value, seen[2][name]) for name, value in subject.average.state_dict().items())
