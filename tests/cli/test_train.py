"""Owns the tests of cli/train.py."""

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from app.checkpoints.own import load_package
from app.cli.main import main
from app.package.variants import VARIANTS
from app.training import run as training
from app.training.recipe import load_recipe
from tests.cli.conftest import ROOT
from tests.training.pictures import RECIPE, SHAPE, VARIANT, plain, stripe_files, write_files, write_zip

FAST = ["--variant", VARIANT, "--epochs", "2", "--batch-size", "8", "--device", "cpu", "--precision", "float32"]


@pytest.fixture(autouse=True)
def small_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, VARIANT, SHAPE)
    torch.set_num_threads(1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "my stripes.v2.zip", stripe_files(24))


def train(*arguments: str | Path) -> int:
    return main(["train", *map(str, arguments)])


def test_images_in_a_package_out(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert train(data, "--out", tmp_path / "out", *FAST) == 0
    package = load_package(tmp_path / "out")
    assert package.name == f"{VARIANT}.my-stripes.v2"
    out, err = capsys.readouterr()
    assert "of 2 validation images right" in out
    assert f"vit-serve serve --model {tmp_path / 'out'}" in out
    assert err.startswith("epoch 1: loss ") and err.count("\n") == 2
    assert (tmp_path / "out" / "checkpoint.pt").exists()


def test_flags_go_before_the_recipe_file_which_goes_before_the_defaults(data: Path, tmp_path: Path):
    path = tmp_path / "given.json"
    path.write_text(replace(RECIPE, epochs=9, batch_size=5, flip=0.25).to_json())
    assert train(data, "--out", tmp_path / "out", "--recipe", path, "--epochs", "1", "--seed", "3") == 0
    assert load_recipe(tmp_path / "out" / "recipe.json") == replace(RECIPE, epochs=1, batch_size=5, flip=0.25, seed=3)


def test_the_card_names_a_command_that_gives_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, others = tmp_path / "first", write_zip(tmp_path / "not pets.zip", {"a.png": plain(9), "b/c.png": plain(99)})
    options: list[str | Path] = ["--out-of-scope", others, "--data-note", "drawn by 'us';\n CC0"]
    assert train(data, "--out", first, *FAST, "--name", "pets", *options) == 0
    files = {path.name: path.read_bytes() for path in (data, others, first / "recipe.json")}
    again = write_files(tmp_path / "again", files)
    monkeypatch.chdir(again)
    command = next(line for line in (first / "README.md").read_text().splitlines() if line.startswith("vit-serve "))
    assert main(shlex.split(command)[1:]) == 0
    assert (again / "first" / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    assert (again / "first" / "config.json").read_bytes() == (first / "config.json").read_bytes()


def test_pictures_and_card_lie_beside_the_package(data: Path, tmp_path: Path):
    others, out = write_files(tmp_path / "others", {f"{i}.png": plain(80 * i) for i in range(3)}), tmp_path / "out"
    assert train(data, "--out", out, *FAST, "--out-of-scope", others, "--data-note", "drawn by us, CC0") == 0
    card = (out / "README.md").read_text()
    for name in ("log.png", "confusion.png", "reliability.png", "classes.png"):
        assert card.count(f"]({name})") == 1
        with Image.open(out / name) as image:
            assert min(image.size) > 150
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 20
        assert (out / name).stat().st_size < 60_000
    assert "Source and licence: drawn by us, CC0" in card
    assert "`others`: 3 images that show none of the classes" in card


def test_images_of_no_class_that_are_not_there_are_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(data, "--out", tmp_path / "out", *FAST, "--out-of-scope", tmp_path / "none") == 1
    assert capsys.readouterr().err == f"vit-serve: error: {tmp_path / 'none'}: there is no such file or folder\n"


def test_broken_files_end_the_run_or_are_left_out_by_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    broken = {f"lying/x{i:02}.jpg": b"\xff\xd8\xff" for i in range(22)}
    data, out = write_files(tmp_path / "stripes", stripe_files(24) | broken), tmp_path / "out"
    assert train(data, "--out", out, *FAST) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"vit-serve: error: {data}: 22 of 46 images cannot be read; --skip-broken leaves ")
    assert err.count("  lying/x") == 20 and err.endswith("  and 2 more\n")
    assert train(data, "--out", out, *FAST, "--skip-broken") == 0
    err = capsys.readouterr().err
    assert err.startswith(f"vit-serve train: {data}: 22 images cannot be read and are left out:\n  lying/x00.jpg: ")
    assert err.count("  lying/x") == 20 and "\n  and 2 more\nepoch 1: " in err
    assert (out / "skipped.txt").read_text().count("\n") == 22
    command = next(line for line in (out / "README.md").read_text().splitlines() if line.startswith("vit-serve "))
    write_files(tmp_path, {"recipe.json": (out / "recipe.json").read_bytes()})
    (out / "checkpoint.pt").unlink()
    first = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").unlink()
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[1:]) == 0
    assert (out / "model.safetensors").read_bytes() == first


def test_the_checkpoint_can_be_discarded(data: Path, tmp_path: Path):
    assert train(data, "--out", tmp_path / "out", *FAST, "--discard-checkpoint") == 0
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--epochs", "0"], 2, "vit-serve train: error: epochs is 0; it must be positive"),
        (["--learning-rate", "-1"], 2, "vit-serve train: error: learning_rate is -1.0; it must be positive"),
        (["--name", "a/b"], 2, "vit-serve train: error: --name is 'a/b'"),
        (["--variant", "vit_x"], 1, "vit-serve: error: no variant is called 'vit_x'"),
        (["--recipe", "none.json"], 1, "vit-serve: error: none.json: not a training recipe"),
    ],
)
def test_misuse_is_one_line(
    arguments: list[str], code: int, message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(data, "--out", tmp_path / "out", *FAST, *arguments) == code
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_data_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert train(tmp_path / "none", "--out", tmp_path / "out", *FAST) == 1
    assert capsys.readouterr().err == f"vit-serve: error: {tmp_path / 'none'}: there is no such file or folder\n"


def test_a_checkpoint_of_another_recipe_is_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert train(data, "--out", tmp_path / "out", *FAST) == 0
    capsys.readouterr()
    assert train(data, "--out", tmp_path / "out", *FAST, "--epochs", "5") == 1
    assert "epochs is 2 there and 5 here" in capsys.readouterr().err


def test_a_run_that_diverges_says_what_to_do(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert train(data, "--out", tmp_path / "out", *FAST, "--learning-rate", "1e30") == 1
    err = capsys.readouterr().err
    assert err.startswith("vit-serve: error: training diverged at step ")
    assert "lower --learning-rate" in err


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_precision_and_device_reach_the_run(
    precision: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[training.RunConfig] = []

    def stop(config: training.RunConfig, *_: object) -> None:
        seen.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run", stop)
    assert train(data, "--out", tmp_path, "--device", "cpu", "--precision", precision) == 130
    assert seen[0].device == torch.device("cpu")
    assert seen[0].precision is training.choose_precision(precision, torch.device("cpu"))


@pytest.mark.operations
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(tmp_path: Path):
    data, out = write_zip(tmp_path / "stripes.zip", stripe_files(20)), tmp_path / "out"
    recipe = ["--variant", "vit_pico_patch4_32", "--epochs", "12", "--batch-size", "16", "--precision", "float32"]
    command = [sys.executable, "-m", "app", "train", str(data), "--out", str(out), *recipe]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    assert process.stderr.readline().startswith("epoch 1: ")
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 130
    assert rest.splitlines()[-1] == (
        f"vit-serve train: stopped; the same command goes on after the last epoch saved in {out}"
    )
    assert "Traceback" not in rest
    assert not (out / "model.safetensors").exists()
    done = len((out / "log.csv").read_text().splitlines()) - 1
    assert 1 <= done < 12

    second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=50)
    assert second.returncode == 0, second.stderr
    assert second.stderr.startswith(f"epoch {done + 1}: ")
    epochs = [line.split(",")[0] for line in (out / "log.csv").read_text().splitlines()[1:]]
    assert epochs == [str(i) for i in range(1, 13)]
    assert load_package(out).labels == ("lying", "upright")
