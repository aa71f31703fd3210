"""Owns the tests of cli/classify.py."""

import csv
import io
import json
import os
import sys
from pathlib import Path

import pytest

from app.bulk.row_table import read_rows
from app.cli.main import main
from tests.bulk.archives import make_zip, tar
from tests.cli.conftest import LABELS, Command
from tests.distributed.pictures import save_table
from tests.training.pictures import plain, write_files


@pytest.fixture
def classify(package: Path, capsys: pytest.CaptureFixture[str]):
    """Runs the command with the tiny package: (exit code, stdout, stderr)."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["classify", "--model", str(package), *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_files_and_folders_are_answered_in_the_order_given(classify, pictures: Path):
    code, out, err = classify(pictures / "upright", pictures / "lying" / "003.png", "--format", "json")
    assert (code, err) == (0, "")
    answers = json.loads(out)
    names = [str(Path(a["path"]).relative_to(pictures)) for a in answers]
    assert names == ["upright/000.png", "upright/002.png", "upright/004.png", "lying/003.png"]
    for answer in answers:
        assert answer["model"] == "vit_pico_patch4_32.test"
        assert sorted(p["label"] for p in answer["predictions"]) == sorted(LABELS)  # 5 are asked for, there are 3
        assert sum(p["score"] for p in answer["predictions"]) == pytest.approx(1, abs=1e-3)
        assert set(answer["timing_ms"]) == {"decode", "queue", "inference", "total"}


def test_a_folder_is_searched_to_its_depth_for_images_only(classify, pictures: Path):
    _, out, _ = classify(pictures, "--format", "csv", "--top-k", "1")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["path"] for row in rows] == sorted(str(p) for p in pictures.rglob("*.png"))
    assert {row["rank"] for row in rows} == {"1"}


def test_bad_files_are_reported_and_do_not_stop_the_others(classify, pictures: Path):
    write_files(pictures, {"broken.png": plain(1)[:50], "empty.png": b"", "hollow/readme.md": b""})
    names = ["broken.png", "empty.png", "notes.txt", "gone.png", "hollow", "upright/000.png"]
    code, out, err = classify(*(pictures / name for name in names), "--format", "json")
    answers = json.loads(out)
    assert code == 1
    codes = ["corrupt_image", "empty_body", "not_an_image", "unreadable_file", "no_images", None]
    assert [a.get("code") for a in answers] == codes
    assert "predictions" in answers[-1]
    assert err == (
        "vit-serve classify: 5 of 6 images could not be classified: 1 corrupt_image, 1 empty_body, 1 not_an_image, "
        "1 unreadable_file, 1 no_images\n"
    )


def test_one_image_from_standard_input(classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "one").write_bytes(plain(200))
    with (tmp_path / "one").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        code, out, _ = classify("-", "--format", "json")
    assert code == 0
    (answer,) = json.loads(out)
    assert answer["path"] == "-"
    assert len(answer["predictions"]) == 3


def test_the_table_is_the_default(classify, pictures: Path):
    _, out, _ = classify(pictures / "lying" / "001.png", "--top-k", "2")
    assert out.splitlines()[0].split() == ["file", "label", "score", "ms"]
    assert len(out.splitlines()) == 4


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_every_kind_of_input_to_every_kind_of_file(classify, tmp_path: Path, form: str):
    folder = write_files(tmp_path / "in", {"1.png": plain(1), "2\n.png": plain(2), "bad.png": b"no picture"})
    (folder / os.fsdecode(b"3\xff.png")).write_bytes(plain(3))
    (folder / "4.tar.xz").write_bytes(tar([("x.png", plain(4)), ("link.png", b"")], "w:xz"))
    (folder / "5.zip").write_bytes(make_zip([("x.png", plain(5)), ("y.txt", b"")]))
    save_table(folder / "6.parquet", [plain(6), None])
    (tmp_path / "list").write_bytes(b"\0".join(os.fsencode(path) for path in (folder, folder / "1.png")))
    out = tmp_path / f"out.{form}"
    command = ("--from-list", tmp_path / "list", "--null", "--out", out, "--top-k", "2", "--resume")
    code, shown, told = classify(*command)
    assert (code, shown) == (1, "")
    assert told.startswith(f"{out}: 9 images, 1 were there or named before, ")
    assert told.endswith("of 9 images could not be classified: 2 empty_body, 1 not_an_image\n")
    rows = {
        "jsonl": lambda: [json.loads(line) for line in out.read_text().splitlines()],
        "csv": lambda: list(csv.DictReader(io.StringIO(out.read_bytes().decode(), newline=""))),
        "parquet": lambda: [row | {"path": row["id"]} for row in read_rows(str(out))],
    }[form]()
    codes = {str(Path(row["path"]).relative_to(folder)): row.get("code") or None for row in rows}
    assert codes == {
        "1.png": None,
        "2\n.png": None,
        "3\\xff.png": None,
        "4.tar.xz#x.png": None,
        "4.tar.xz#link.png": "empty_body",
        "5.zip#x.png": None,
        "6.parquet#0": None,
        "6.parquet#1": "empty_body",
        "bad.png": "not_an_image",
    }
    assert list(codes) == sorted(codes, key=lambda name: name.replace("#link", "#x~"))
    before = out.read_bytes()
    assert classify(*command)[:2] == (0, "")
    assert out.read_bytes() == before


@pytest.mark.parametrize("top_k", ["0", "4", "-1"])
def test_a_top_k_that_the_model_has_not_is_told_once(classify, pictures: Path, top_k: str):
    code, out, err = classify(pictures, "--top-k", top_k)
    assert (code, out) == (1, "")
    assert err.startswith(f"vit-serve: error: top_k is {top_k}; this model has 3 classes")


def test_a_service_in_a_hurry_does_not_hurry_the_command(classify, pictures: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VIT_REQUEST_TIMEOUT_MS", "0.001")
    monkeypatch.setenv("VIT_MAX_WAIT_MS", "0.001")
    monkeypatch.setenv("VIT_SLOTS", "2")
    code, out, _ = classify(*[pictures] * 8, "--format", "json")
    assert code == 0
    assert len(json.loads(out)) == 48


def test_an_untrained_model_says_so_beside_the_answers(vit_serve: Command, pictures: Path):
    done = vit_serve("classify", pictures / "lying", "--model", "noop", "--format", "json")
    assert done.returncode == 0
    assert [Path(a["path"]).name for a in json.loads(done.stdout)] == ["001.png", "003.png", "005.png"]
    assert done.stderr == "vit-serve classify: note: noop: no forward pass was made, the answer is always the same\n"


def test_a_missing_model_is_one_line(vit_serve: Command, pictures: Path):
    done = vit_serve("classify", pictures, VIT_MODEL="nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vit-serve: error: 'nowhere' is neither")
    assert done.stderr.count("\n") == 1
