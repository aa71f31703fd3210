"""Owns the tests of what training/run.py tells beside the weights: card, summary, pictures, an older log."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.checkpoints.own import load_package
from app.errors import DatasetError
from app.training.augment import changed
from app.training.dataset import load_dataset, load_images, split
from app.training.loop import StepReport
from app.training.report import Evaluation
from app.training.run import RunConfig, run
from tests.training.pictures import RECIPE, plain, stripe_files, write_files, write_zip
from tests.training.test_run import Report, ignore, weights
from tests.training.test_run import config as config  # a fixture


def interrupt_after_an_epoch(report: Report) -> None:
    """Ctrl-C."""
    if isinstance(report, StepReport) and report.step == 4:  # an epoch has three steps
        raise KeyboardInterrupt


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Images of which some show no stripes, so that the network is not equally sure of all."""
    return write_files(tmp_path / "others", {f"{i}.png": plain(12 * i) for i in range(12)} | stripe_files(8))


def test_answers_to_images_of_no_class_are_those_that_the_package_gives(config: RunConfig, others: Path):
    easy = replace(RECIPE, epochs=20, batch_size=8, colour=0.0, crop_scale=(0.9, 1.0))
    recipe = replace(easy, validation_share=0.5)  # enough validation images for a threshold
    config = replace(config, data=write_zip(config.data, stripe_files(120)), recipe=recipe, out_of_scope=others)
    run(config, ignore)
    package = load_package(config.out)
    assert package.threshold is not None
    images, spec = load_images(others, package.preprocess), package.preprocess
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    with torch.inference_mode():
        scores, best = (
            (package.network((images.float() / 255 - mean) / std) / package.temperature).softmax(dim=1).max(dim=1)
        )
    summary = json.loads((config.out / "config.json").read_text())["vit_serve"]["training"]["out_of_scope"]
    named = [package.labels[i] for i in best.tolist()]
    assert summary == {
        "data": "others",
        "images": 20,
        "high_confidence": (scores >= package.threshold).float().mean().item(),
        "mean_score": pytest.approx(scores.mean().item(), abs=1e-4),
        "answers": {name: named.count(name) for name in set(named)},
    }
    card = (config.out / "README.md").read_text()
    assert f"{100 * summary['high_confidence']:.1f} % of them would be answered" in card
    _, validation = split(load_dataset(config.data, spec, lambda done, total: None), 0.5, recipe.seed)
    with torch.inference_mode():
        answers = package.network((changed(validation.images, recipe).float() / 255 - mean) / std).argmax(dim=1)
    right = 100 * (answers == validation.targets).float().mean().item()
    assert f"names), {right:.1f} % of the same images" in card


def test_a_finished_run_may_be_told_more_for_its_card(config: RunConfig, others: Path):
    run(config, ignore)
    first = weights(config.out)
    assert "Not measured" in (config.out / "README.md").read_text()
    run(replace(config, out_of_scope=others, data_note="made here"), ignore)
    assert weights(config.out) == first
    card = (config.out / "README.md").read_text()
    assert "Not measured" not in card
    assert "--out-of-scope others --data-note 'made here'\n" in card
    assert "Source and licence: made here\n" in card


def test_what_is_wrong_with_images_of_no_class_is_told_before_training(config: RunConfig, tmp_path: Path):
    told: list[Report] = []
    with pytest.raises(DatasetError, match="no such file"):
        run(replace(config, out_of_scope=tmp_path / "gone"), told.append)
    assert StepReport not in {type(report) for report in told}


def test_pictures_are_drawn_of_what_was_measured_and_shown_by_the_card(config: RunConfig):
    drawn: list[tuple[Path, tuple[str, ...], Evaluation]] = []

    def draw(out: Path, classes: Sequence[str], evaluation: Evaluation) -> tuple[str, ...]:
        assert (out / "log.csv").exists()
        drawn.append((out, tuple(classes), evaluation))
        return ("log.png",)

    result = run(config, ignore, draw)
    assert drawn == [(config.out, ("lying", "upright"), result.evaluation)]
    card = (config.out / "README.md").read_text()
    assert "](log.png)" in card and "](confusion.png)" not in card


def test_a_log_of_an_older_version_is_gone_on_with(config: RunConfig):
    with pytest.raises(KeyboardInterrupt):
        run(config, interrupt_after_an_epoch)
    (config.out / "log.csv").write_text(
        "epoch,train_loss,validation_loss,validation_accuracy,images_per_s\n1,2,2,0.5,9\n"
    )
    run(config, ignore)
    with (config.out / "log.csv").open() as file:
        rates = [row["learning_rate"] for row in csv.DictReader(file)]
    assert rates[0] == "" and all(float(rate) > 0 for rate in rates[1:])
