"""Owns the tests of training/run.py."""

import csv
import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from app.checkpoints.own import load_package
from app.errors import DatasetError, SetupError, UnknownVariant
from app.package.config import file_sha256
from app.training.dataset import load_dataset, split
from app.training.loop import EpochReport, StepReport
from app.training.recipe import load_recipe
from app.training.report import evaluate_logits
from app.training.run import LoadReport, RunConfig, run
from app.training.start import preprocess_spec
from tests.training.pictures import RECIPE, SHAPE, VARIANT, stripe_files, write_files, write_zip

Report = LoadReport | StepReport | EpochReport


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return RunConfig(
        data=write_zip(tmp_path / "stripes.zip", stripe_files(60)),
        out=tmp_path / "out",
        recipe=RECIPE,
        tag="stripes",
        device=torch.device("cpu"),
        precision=torch.float32,
    )


def ignore(report: Report) -> None:
    """Listens to nothing."""


def interrupt_in_epoch(epoch: int) -> Callable[[Report], None]:
    """Ctrl-C at the first step after so many epochs."""
    done = 0

    def listen(report: Report) -> None:
        nonlocal done
        done += isinstance(report, EpochReport)
        if isinstance(report, StepReport) and done == epoch:
            raise KeyboardInterrupt

    return listen


def weights(out: Path) -> str:
    return file_sha256(out / "model.safetensors")


def test_a_run_ends_in_a_package_that_can_be_served(config: RunConfig):
    result = run(config, ignore)
    package = load_package(result.package)
    assert package.name == result.name == f"{VARIANT}.stripes"
    assert package.labels == ("lying", "upright")
    assert package.preprocess == preprocess_spec(SHAPE)
    assert package.temperature == result.evaluation.temperature
    stored = load_file(config.out / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}


def test_the_package_says_how_it_came_about(config: RunConfig):
    result = run(config, ignore)
    summary = json.loads((config.out / "config.json").read_text())["vit_serve"]["training"]
    assert summary.pop("recipe") == json.loads(json.dumps(asdict(RECIPE)))
    assert summary == {
        "data": "stripes.zip",
        "images": 54,
        "validation_images": 6,
        "validation_accuracy": round(result.evaluation.accuracy, 4),
        "expected_calibration_error": round(result.evaluation.calibration_error, 4),
    }


def test_the_card_repeats_the_run_and_tells_no_folder_of_this_machine(config: RunConfig, tmp_path: Path):
    run(config, ignore)
    card = (config.out / "README.md").read_text()
    command = next(line for line in card.splitlines() if line.startswith("vit-serve train"))
    assert shlex.split(command)[2:7] == ["stripes.zip", "--out", "out", "--recipe", "recipe.json"]
    assert file_sha256(config.data) in card
    for name in ("README.md", "config.json", "recipe.json"):
        assert str(tmp_path) not in (config.out / name).read_text()


def test_the_log_has_a_row_for_each_epoch(config: RunConfig):
    told: list[EpochReport] = []
    run(config, lambda report: told.append(report) if isinstance(report, EpochReport) else None)
    with (config.out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert RECIPE.learning_rate > told[1].learning_rate > told[2].learning_rate > 0
    assert rows[1] == {
        "epoch": "2",
        "train_loss": f"{told[1].train_loss:.4f}",
        "validation_loss": f"{told[1].validation_loss:.4f}",
        "validation_accuracy": f"{told[1].validation_accuracy:.4f}",
        "learning_rate": f"{told[1].learning_rate:.4g}",
        "images_per_s": f"{told[1].images_per_s:.0f}",
    }


@pytest.mark.parametrize("epochs_done", [0, 1, 2])
def test_an_interrupted_run_ends_like_any_other(config: RunConfig, tmp_path: Path, epochs_done: int):
    whole = replace(config, out=tmp_path / "whole")
    run(whole, ignore)
    with pytest.raises(KeyboardInterrupt):
        run(config, interrupt_in_epoch(epochs_done))
    assert not (config.out / "model.safetensors").exists()
    steps: list[int] = []
    run(config, lambda report: steps.append(report.step) if isinstance(report, StepReport) else None)
    assert steps[0] == 3 * epochs_done + 1
    assert weights(config.out) == weights(whole.out)
    losses = [
        [line.rsplit(",", 1)[0] for line in (c.out / "log.csv").read_text().splitlines()] for c in (config, whole)
    ]
    assert losses[0] == losses[1]


def test_a_finished_run_is_only_written_again(config: RunConfig):
    run(config, ignore)
    first = weights(config.out), (config.out / "log.csv").read_text()
    told: list[Report] = []
    run(config, told.append)
    assert {type(report) for report in told} == {LoadReport}
    assert (weights(config.out), (config.out / "log.csv").read_text()) == first


def test_another_recipe_is_refused_and_the_difference_named(config: RunConfig):
    with pytest.raises(KeyboardInterrupt):
        run(config, interrupt_in_epoch(1))
    with pytest.raises(SetupError, match="epochs is 3 there and 9 here") as caught:
        run(replace(config, recipe=replace(RECIPE, epochs=9)), ignore)
    assert "batch_size" not in str(caught.value)
    assert load_recipe(config.out / "recipe.json") == RECIPE


def test_other_images_are_refused(config: RunConfig, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        run(config, interrupt_in_epoch(1))
    other = write_zip(tmp_path / "other.zip", stripe_files(40))
    with pytest.raises(SetupError, match="other images"):
        run(replace(config, data=other), ignore)


def test_a_recipe_that_was_never_begun_is_replaced(config: RunConfig):
    with pytest.raises(KeyboardInterrupt):
        run(config, interrupt_in_epoch(0))
    run(replace(config, recipe=replace(RECIPE, epochs=1)), ignore)
    assert load_recipe(config.out / "recipe.json").epochs == 1


@pytest.mark.parametrize("name", ["checkpoint.pt", "model.safetensors"])
def test_a_folder_with_something_unknown_is_left_alone(config: RunConfig, name: str):
    write_files(config.out, {name: b"precious"})
    with pytest.raises(SetupError, match=r"no recipe\.json"):
        run(config, ignore)
    assert [p.name for p in config.out.iterdir()] == [name]


@pytest.mark.parametrize("name", ["README.md", "config.json", "log.csv"])
def test_a_strangers_files_are_not_written_over(config: RunConfig, name: str):
    write_files(config.out, {name: b"precious"})
    with pytest.raises(SetupError, match=rf"holds a {name} that is not of a run"):
        run(config, ignore)
    assert {p.name: p.read_bytes() for p in config.out.iterdir()} == {name: b"precious"}


@pytest.mark.parametrize("writer", ["torch.save", "app.checkpoints.own.save_file"])
def test_a_full_disk_is_told_and_leaves_nothing_half(config: RunConfig, monkeypatch: pytest.MonkeyPatch, writer: str):
    def full(state: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise (RuntimeError if writer == "torch.save" else SafetensorError)("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, full)
        with pytest.raises(SetupError, match="No space left on device"):
            run(config, ignore)
    left = {"log.csv", "checkpoint.pt", "model.safetensors"} if writer != "torch.save" else set()
    assert {p.name for p in config.out.iterdir()} == {"recipe.json"} | left
    if left:
        (config.out / "model.safetensors").unlink()
    assert run(config, ignore).name


def test_a_finished_model_without_checkpoint_is_not_written_over(config: RunConfig):
    run(replace(config, keep_checkpoint=False), ignore)
    assert not (config.out / "checkpoint.pt").exists()
    before = weights(config.out)
    with pytest.raises(SetupError, match="finished model of this recipe"):
        run(config, ignore)
    assert weights(config.out) == before


def test_a_log_left_by_a_run_without_checkpoint_starts_anew(config: RunConfig):
    run(config, ignore)
    for name in ("checkpoint.pt", "model.safetensors"):
        (config.out / name).unlink()
    run(replace(config, recipe=replace(RECIPE, epochs=1)), ignore)
    assert [line.split(",")[0] for line in (config.out / "log.csv").read_text().splitlines()] == ["epoch", "1"]


def test_what_is_told_is_measured_on_the_weights_as_they_are_stored(config: RunConfig):
    result = run(config, ignore)
    package, spec = load_package(config.out), preprocess_spec(SHAPE)
    _, validation = split(load_dataset(config.data, spec), RECIPE.validation_share, RECIPE.seed)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    with torch.inference_mode():
        logits = package.network((validation.images.float() / 255 - mean) / std)
    assert evaluate_logits(logits, validation.targets) == result.evaluation


def test_images_are_read_with_progress_before_training(config: RunConfig):
    told: list[Report] = []
    run(config, told.append)
    kinds = [type(report) for report in told]
    assert kinds[:60] == [LoadReport] * 60
    assert told[59] == LoadReport(60, 60)
    assert kinds[60:] == [*[StepReport] * 3, EpochReport] * 3


def test_what_cannot_be_read_or_written_is_told(config: RunConfig, tmp_path: Path):
    with pytest.raises(DatasetError):
        run(replace(config, data=tmp_path / "none.zip"), ignore)
    with pytest.raises(UnknownVariant):
        run(replace(config, recipe=replace(RECIPE, variant="vit_nowhere")), ignore)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="file"):
        run(replace(config, out=tmp_path / "file"), ignore)
