"""Owns the tests of `vit-serve train --from`."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.checkpoints.own import load_package
from app.cli.main import main
from app.package.config import file_sha256
from app.training.recipe import fine_tuning_recipe, load_recipe
from tests.cli.test_train import small_variant as small_variant  # a fixture
from tests.training.pictures import RECIPE, VARIANT, plain, stripe_files, write_files, write_start, write_zip

FAST = ["--epochs", "2", "--device", "cpu", "--precision", "float32"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "stripes.zip", stripe_files(24))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_start(tmp_path / "mine")


def train(*arguments: str | Path) -> int:
    return main(["train", *map(str, arguments), *FAST])


def test_images_and_a_package_in_a_package_out(
    data: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(data, "--out", tmp_path / "out", "--from", source, "--freeze", "1", "--size", "40") == 0
    package = load_package(tmp_path / "out")
    assert package.name == f"{VARIANT}.stripes"
    assert package.network.config.img_size == (40, 40)
    assert re.match(r"Kept: epoch [12] of 2, the lowest validation loss\.\n", capsys.readouterr().out)


def test_without_a_recipe_fine_tuning_has_its_own_defaults(data: Path, source: Path, tmp_path: Path):
    assert train(data, "--out", tmp_path / "out", "--from", source, "--patience", "0") == 0
    expected = replace(fine_tuning_recipe(), epochs=2, patience=0, variant=VARIANT)
    recipe = load_recipe(tmp_path / "out" / "recipe.json")
    assert replace(recipe, start="", start_sha256="") == expected


def test_a_recipe_from_scratch_serves_any_start(data: Path, source: Path, tmp_path: Path):
    path = tmp_path / "given.json"
    path.write_text(replace(RECIPE, variant="vit_pico_patch4_32").to_json())
    assert train(data, "--out", tmp_path / "out", "--from", source, "--recipe", path) == 0
    assert load_recipe(tmp_path / "out" / "recipe.json").variant == VARIANT


def test_the_card_names_a_command_that_gives_the_same_weights(
    data: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, again = tmp_path / "first", tmp_path / "again"
    assert train(data, "--out", first, "--from", source) == 0
    shutil.copytree(source, again / "mine")
    write_files(again, {data.name: data.read_bytes(), "recipe.json": (first / "recipe.json").read_bytes()})
    monkeypatch.chdir(again)
    command = next(line for line in (first / "README.md").read_text().splitlines() if line.startswith("vit-serve "))
    assert main(shlex.split(command)[1:]) == 0
    assert file_sha256(again / "first" / "model.safetensors") == file_sha256(first / "model.safetensors")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "nowhere"], 1, "vit-serve: error: 'nowhere' is neither"),
        (["--from", "mine", "--variant", "vit_pico_patch4_32"], 1, f"vit-serve: error: mine is a {VARIANT}, not"),
        (["--from", "mine", "--freeze", "half"], 2, "vit-serve train: error: freeze is 'half'"),
        (["--from", "mine", "--freeze", "3"], 1, "vit-serve: error: mine: freeze is 3, but there are 2 blocks"),
        (["--from", "mine", "--size", "-1"], 2, "vit-serve train: error: size is -1"),
        (["--from", "mine", "--size", "7"], 1, "vit-serve: error: mine: an image of (7, 7) px holds no patch"),
        (["--from", "mine", "--patience", "-1"], 2, "vit-serve train: error: patience is -1"),
        (["--freeze", "backbone"], 1, "vit-serve: error: freeze is backbone, but there is no start"),
    ],
)
def test_misuse_is_one_line_and_writes_nothing(
    arguments: list[str],
    code: int,
    message: str,
    data: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(source.parent)
    assert train(data, "--out", "out", *arguments) == code
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert not Path("out").exists()


def test_damaged_weights_are_one_line(data: Path, source: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (source / "model.safetensors").write_bytes(b"not these")
    assert train(data, "--out", tmp_path / "out", "--from", source) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"vit-serve: error: {source / 'model.safetensors'}: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "0 images"),
        ({"cat/1.png": plain(9), "cat/2.png": plain(9)}, "found 2 images, 1 classes"),
        ({"cat/1.png": plain(9), "dog/2.png": plain(9)}, "class 'cat' has fewer than two images"),
        ({"1.png": plain(9), "dog/2.png": plain(9)}, "1.png lies in no folder"),
    ],
)
def test_data_of_no_use_is_one_line(
    files: dict[str, bytes], message: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "images").mkdir()
    data = write_files(tmp_path / "images", files)
    assert train(data, "--out", tmp_path / "out", "--from", source) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"vit-serve: error: {data}: " if "fewer" not in message else "vit-serve: error: ")
    assert message in err and err.count("\n") == 1


def test_two_tiny_images_a_class_are_enough(source: Path, tmp_path: Path):
    files = {f"{name}/{i}.png": plain(40 * i, size=1) for name in ("cat", "dog") for i in (1, 2)}
    data = write_files(tmp_path / "images", files)
    assert train(data, "--out", tmp_path / "out", "--from", source) == 0
