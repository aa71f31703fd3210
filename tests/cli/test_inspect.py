"""Owns the tests of cli/inspect.py."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.checkpoints.own import save_package
from app.cli.main import main
from tests.cli.conftest import Command
from tests.insight.networks import random_package
from tests.training.pictures import plain, write_files


@pytest.mark.operations
def test_the_embedded_model_end_to_end(tmp_path: Path, pictures: Path, vit_serve: Command):
    done = vit_serve("inspect", "embedded", "--out", tmp_path / "new" / "out", "--image", pictures)
    assert (done.returncode, done.stderr) == (0, "")
    for told in (
        *("vit_nano_lite0_s32_128.cifar10", "patch_embed", "blocks.0-1.mlp", "4,628,234", "118.8", "0.137 GMACs"),
        *("128 × 128 px, bicubic", "10: airplane, automobile, bird, cat, deer, …", "logits divided by 0.7975", "1e-06"),
        *("position-similarity.png", "mean over 6 photographs"),
    ):
        assert told in done.stdout
    written = sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    assert written == [
        "attention-distance.png",
        "attention-rollout.png",
        "patch-filters.png",
        "position-similarity.png",
    ]


def test_json_tells_everything(package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(package), "--out", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"] == "vit_pico_patch4_32.test"
    assert facts["labels"] == ["cat", "dog", "owl"]
    assert facts["config"]["img_size"] == [32, 32]
    assert "drop_rate" not in facts["config"]
    assert facts["preprocess"]["crop_pct"] == 1.0
    assert facts["temperature"] == 1.0
    assert len(facts["sha256"]) == 64
    assert sum(layer["macs"] for layer in facts["layers"]) == facts["macs"] > facts["served_macs"]
    assert [picture["path"] for picture in facts["pictures"][:2]] == [
        str(tmp_path / "position-similarity.png"),
        str(tmp_path / "patch-filters.png"),
    ]
    assert [picture["path"] for picture in facts["pictures"][2:]] == [None, None]


def test_without_a_folder_nothing_is_drawn(package: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(package)]) == 0
    shown = capsys.readouterr().out
    assert "blocks.0.attn" in shown
    assert "picture" not in shown


def test_untrained_weights_are_called_so(capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", "random:vit_pico_patch4_32"]) == 0
    shown = capsys.readouterr().out
    assert "random weights: the scores mean nothing" in shown
    assert "none: the weights come from no file" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nowhere"], 1, "'nowhere' is neither"),
        (["noop"], 1, "noop has no network: it is for measuring a server without one"),
        (["embedded", "--image", "a.png"], 2, "say with --out where to write them"),
        (["embedded", "--image", "gone.png", "--out", "out"], 1, "gone.png: No such file or directory"),
        (["embedded", "--image", "notes.txt", "--out", "out"], 1, "notes.txt: the bytes are not an image"),
        (["embedded", "--image", "empty", "--out", "out"], 1, "empty: the folder holds no image files"),
        (["embedded", "--out", "notes.txt"], 1, "notes.txt: cannot be written to: File exists"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    write_files(tmp_path, {"notes.txt": b"notes", "a.png": plain(9)})
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", *arguments]) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_folder_that_does_not_take_files_is_named(package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "position-similarity.png").mkdir()
    assert main(["inspect", str(package), "--out", str(tmp_path)]) == 1
    assert f"{tmp_path}: cannot be written to: Is a directory" in capsys.readouterr().err


def test_a_head_that_cannot_classify_may_be_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    package = random_package()
    package.network.head.weight.zero_()
    save_package(tmp_path, replace(package, architecture="vit_pico_patch4_32", name="vit_pico_patch4_32.dead"))
    assert main(["inspect", str(tmp_path)]) == 0
    assert "the head is all zeros" in capsys.readouterr().out
