"""Owns the tests of cli/convert.py."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.checkpoints.own import load_package
from app.cli.main import main
from tests.checkpoints.networks import KINDS, drawn


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save({"model": drawn(KINDS["plain"]).state_dict()}, tmp_path / "theirs.pth")
    return tmp_path / "theirs.pth"


def test_a_checkpoint_becomes_a_package_and_goes_back(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    package = tmp_path / "my package"
    assert main(["convert", str(checkpoint), str(package), "--heads", "4"]) == 0
    told = capsys.readouterr().out
    for words in (
        "theirs.pth: SHA-256 ",
        "format: timm\n",
        "2 layers of width 64 with 4 heads, 5 classes",
        "assumed: images of 32 x 32 px",
        f"vit-serve serve --model '{package}'",
    ):
        assert words in told
    loaded = load_package(package)
    assert loaded.network.config == KINDS["plain"]
    record = json.loads((package / "config.json").read_text())["vit_serve"]["checkpoint"]
    assert (record["name"], record["format"]) == ("theirs.pth", "timm")
    assert record["sha256"]["theirs.pth"] in told
    assert main(["convert", "--to", "timm", str(package), str(tmp_path / "back.safetensors")]) == 0
    assert "format: timm" in capsys.readouterr().out
    back, original = load_file(tmp_path / "back.safetensors"), torch.load(checkpoint)["model"]
    assert back.keys() == original.keys()
    assert all(torch.equal(back[key], original[key]) for key in back)


@pytest.mark.parametrize("name", ["names.txt", "names.json", "class_indices.json"])
def test_labels_come_from_a_file(name: str, checkpoint: Path, tmp_path: Path):
    names = ["ash", "beech", "fir", "oak", "yew"]
    text = "\n".join(names) if name.endswith("txt") else json.dumps(names)
    if name.startswith("class"):
        text = json.dumps({str(i): label for i, label in enumerate(names)})
    (tmp_path / name).write_text(text)
    assert (
        main(["convert", str(checkpoint), str(tmp_path / "p"), "--heads", "4", "--labels", str(tmp_path / name)]) == 0
    )
    assert load_package(tmp_path / "p").labels == tuple(names)


def test_size_and_preprocessing_are_options(checkpoint: Path, tmp_path: Path):
    options = ["--heads", "4", "--size", "48x64", "--preprocess", "tutorial"]
    assert main(["convert", str(checkpoint), str(tmp_path / "p"), *options]) == 0
    package = load_package(tmp_path / "p")
    assert package.network.config.img_size == (48, 64)
    assert (package.preprocess.interpolation, package.preprocess.crop_pct) == ("bilinear", 0.875)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--heads", "0"], 2, "--heads is 0, but it should be at least 1"),
        (["--size", "big"], 2, "--size is 'big'"),
        (["--labels", "/nowhere"], 2, "--labels /nowhere cannot be read"),
        (["--variant", "vit_huh"], 1, "no variant is called 'vit_huh'"),
        (["--variant", "vit_base_patch16_224"], 1, "embed_dim"),
        (["--heads", "5"], 1, "not a multiple of num_heads 5"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    options: list[str], code: int, words: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["convert", str(checkpoint), str(tmp_path / "p"), *options]) == code
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert not (tmp_path / "p").exists()


def test_what_belongs_to_the_way_in_is_no_option_of_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["convert", str(tmp_path), str(tmp_path / "out"), "--to", "hf", "--patch-size", "8"]) == 2
    assert "--patch-size has no meaning with --to" in capsys.readouterr().err


def test_nothing_is_overwritten(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["convert", str(checkpoint), str(tmp_path)]) == 1
    assert f"{tmp_path}: is there already; nothing was written" in capsys.readouterr().err
