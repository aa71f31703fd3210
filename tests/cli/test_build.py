"""Owns the tests of cli/build.py."""

import re
from pathlib import Path

import pytest

from app.checkpoints.sources import load_model
from app.cli.main import main
from app.graphs.folder import GRAPHS_NAME, read_graphs
from tests.graphs import tiny


def test_a_package_is_written_and_how_to_serve_it(
    bare: Path, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "with graphs"
    assert main(["build", str(bare), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{load_model(str(bare)).name}, with its graph for OpenVINO, written to {out}.")
    assert f"vit-serve serve --model '{out}'\n" in told
    assert set(read_graphs(out / GRAPHS_NAME, key).paths) == {"float32"}
    assert load_model(str(out)).sha256 == load_model(str(bare)).sha256
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("there", ["file", "folder"])
def test_what_is_there_stays(bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str) -> None:
    out = tmp_path / "out"
    if there == "folder":
        out.mkdir()
    else:
        out.write_text("words")
    assert main(["build", str(bare), "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"vit-serve: error: {out}: is there already; nothing was written\n"
    assert out.read_text() == "words" if there == "file" else list(out.iterdir()) == []


@pytest.mark.parametrize(("model", "words"), [("nowhere/at/all", "is neither"), ("noop", "no network|is neither")])
def test_what_is_no_model_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, words: str
) -> None:
    assert main(["build", model, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert re.search(words, error) and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(
    bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("words")
    assert main(["build", str(bare), "--out", str(tmp_path / "file" / "out")]) == 1
    error = capsys.readouterr().err
    assert "cannot be written" in error and str(tmp_path / "file" / "out") in error


def test_a_package_is_not_written_into_itself(bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = tiny.copied(bare, tmp_path / "package")
    before = set(package.rglob("*"))
    for out in (package / "built", package / "new" / "built"):
        assert main(["build", str(package), "--out", str(out)]) == 1
        assert capsys.readouterr().err == f"vit-serve: error: {package}: a package cannot be written into itself\n"
    assert {path for path in package.rglob("*") if path.name != "new"} == before


def test_a_place_to_write_to_must_be_named(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["build", str(bare)])
    assert caught.value.code == 2
    assert "--out" in capsys.readouterr().err
