"""Owns the tests of runs from a start: one folder of images and one package in, one package that serves out."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from app.bootstrap import open_classifier
from app.checkpoints.own import load_package, save_package
from app.errors import PackageError, SetupError
from app.package.config import file_sha256
from app.settings import Settings
from app.training.loop import EpochReport, StepReport
from app.training.recipe import load_recipe
from app.training.run import LoadReport, RunConfig, run
from tests.training.pictures import RECIPE, VARIANT, stripe_files, write_start, write_zip

Report = LoadReport | StepReport | EpochReport


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return RunConfig(
        data=write_zip(tmp_path / "stripes.zip", stripe_files(60)),
        out=tmp_path / "out",
        recipe=replace(RECIPE, variant="", epochs=2, batch_size=32, patience=1),
        tag="stripes",
        device=torch.device("cpu"),
        precision=torch.float32,
        start=str(write_start(tmp_path / "mine")),
    )


def ignore(report: Report) -> None:
    """Listens to nothing."""


def stop_at_the_second_epoch(report: Report) -> None:
    """Ctrl-C."""
    if isinstance(report, StepReport) and report.step == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("changes", "recipe"),
    [
        ({}, {}),
        ({}, {"size": 24, "freeze": "backbone"}),
        ({"stem_widths": (8, 8, 16)}, {}),
        ({"distilled": True}, {"size": 40}),
        ({"representation_size": 16, "position": "2d"}, {"freeze": "1"}),
    ],
    ids=str,
)
async def test_the_result_serves(config: RunConfig, tmp_path: Path, changes: dict[str, Any], recipe: dict[str, Any]):
    source = write_start(tmp_path / "other", **changes)
    result = run(replace(config, start=str(source), recipe=replace(config.recipe, **recipe)), ignore)
    package, given = load_package(config.out), load_package(source)
    size = recipe.get("size", 32)
    assert package.name == result.name == f"{VARIANT}.stripes"
    assert package.preprocess == replace(given.preprocess, height=size, width=size)
    photo = io.BytesIO()
    Image.new("RGB", (50, 40), (200, 30, 30)).save(photo, "PNG")
    async with open_classifier(Settings(model=str(config.out), device="cpu", slots=8)) as classifier:
        await classifier.ready()
        answer = await classifier.classify(photo.getvalue())
    assert {prediction.label for prediction in answer.predictions} == {"lying", "upright"}
    assert answer.notice is None


def test_what_is_frozen_is_in_the_package_as_it_was_stored_in_half_precision(config: RunConfig):
    run(replace(config, recipe=replace(config.recipe, freeze="backbone")), ignore)
    before = load_file(Path(config.start) / "model.safetensors")
    for name, value in load_file(config.out / "model.safetensors").items():
        assert name.startswith("head") or torch.equal(value, before[name].half()), name


def test_card_config_and_recipe_name_the_start_and_no_folder(config: RunConfig, tmp_path: Path):
    result = run(config, ignore)
    digest = file_sha256(Path(config.start) / "model.safetensors")
    recipe = load_recipe(config.out / "recipe.json")
    assert (recipe.variant, recipe.start, recipe.start_sha256) == (VARIANT, "mine", digest)
    assert json.loads((config.out / "config.json").read_text())["vit_serve"]["training"]["recipe"]["start"] == "mine"
    card = (config.out / "README.md").read_text()
    assert f"Fine-tuned from `mine` (SHA-256 `{digest}`)" in card
    assert f"of epoch {result.kept}, whose loss on the validation images was the lowest" in card
    assert " --recipe recipe.json --from mine " in card
    for name in ("README.md", "config.json", "recipe.json"):
        assert str(tmp_path) not in (config.out / name).read_text()


def test_an_interrupted_run_from_a_start_ends_like_any_other(config: RunConfig, tmp_path: Path):
    whole = replace(config, out=tmp_path / "whole")
    run(whole, ignore)
    with pytest.raises(KeyboardInterrupt):
        run(config, stop_at_the_second_epoch)
    run(config, ignore)
    digests = [file_sha256(c.out / "model.safetensors") for c in (config, whole)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", ["other", "mine"])
def test_a_resumed_run_with_another_start_is_refused(config: RunConfig, tmp_path: Path, name: str):
    with pytest.raises(KeyboardInterrupt):
        run(config, stop_at_the_second_epoch)
    other = write_start(tmp_path / "elsewhere" / name, seed=6)
    with pytest.raises(SetupError, match="start_sha256 is .* there and .* here"):
        run(replace(config, start=str(other)), ignore)
    with pytest.raises(SetupError, match="start is mine there and  here"):
        run(replace(config, start="", recipe=replace(config.recipe, variant=VARIANT)), ignore)


def test_the_recipe_alone_finds_its_start_and_insists_on_its_weights(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run(config, ignore)
    recipe = load_recipe(config.out / "recipe.json")
    monkeypatch.chdir(tmp_path)
    again = replace(config, out=tmp_path / "again", recipe=recipe, start="")
    run(again, ignore)
    assert file_sha256(again.out / "model.safetensors") == file_sha256(config.out / "model.safetensors")
    write_start(tmp_path / "mine", seed=6)
    with pytest.raises(SetupError, match=f"mine: SHA-256 .* the recipe says {recipe.start_sha256}"):
        run(replace(again, out=tmp_path / "third"), ignore)


def test_a_start_of_no_use_is_told_before_anything_is_written(config: RunConfig, tmp_path: Path):
    for changes, error in (
        ({"start": str(tmp_path / "nowhere")}, PackageError),
        ({"recipe": replace(RECIPE, variant="vit_base_patch16_224")}, SetupError),
        ({"recipe": replace(RECIPE, variant="", freeze="7")}, SetupError),
    ):
        with pytest.raises(error):
            run(replace(config, **changes), ignore)
    assert not config.out.exists()


def test_from_a_start_of_another_activation_comes_a_softmax(config: RunConfig, tmp_path: Path):
    """What is trained is a new head, on pictures of one class each."""
    save_package(tmp_path / "tags", replace(load_package(Path(config.start)), activation="sigmoid"))
    run(replace(config, start=str(tmp_path / "tags")), ignore)
    assert load_package(config.out).activation == "softmax"
