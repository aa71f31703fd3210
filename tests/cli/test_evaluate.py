"""Owns the tests of cli/evaluate.py and cli/evaluation.py."""

import json
from pathlib import Path

import pytest

from app.cli.evaluate import _truths
from app.cli.main import main
from app.training.dataset import ImageFiles
from tests.cli.conftest import LABELS
from tests.training.pictures import plain, write_files, write_zip


@pytest.fixture
def evaluate(package: Path, capsys: pytest.CaptureFixture[str]):
    """Runs the command with the tiny package: (exit code, stdout, stderr)."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["evaluate", str(package), *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Pictures in folders named after two of the model's three classes."""
    files = {f"{name}/{i}.png": plain(60 * i + 10) for name in ("cat", "dog") for i in range(4)}
    return write_files(tmp_path / "labelled", files)


def test_a_package_is_measured_on_a_folder(evaluate, labelled: Path):
    code, out, err = evaluate(labelled, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["model"], told["images"], told["failures"]) == ("vit_pico_patch4_32.test", 8, [])
    assert told["top5"] == 1.0  # of three classes
    assert {c["label"]: c["images"] for c in told["classes"] if c["images"]} == {"cat": 4, "dog": 4}
    found = [c["found"] for c in told["classes"] if c["images"]]
    assert told["top1"] == pytest.approx(sum(found) / 2) == told["mean_over_classes"]
    assert sum(c["images"] for c in told["confusions"]) == round(8 * (1 - told["top1"]))
    assert sum(b["images"] for b in told["reliability"]) == 8
    assert told["log_loss"] == pytest.approx(1.0986, abs=0.2)  # a random network: about ln 3
    assert told["high_confidence"] == {"share": None, "precision": None}


def test_a_zip_says_the_same_as_the_folder(evaluate, labelled: Path, tmp_path: Path):
    files = {p.relative_to(labelled).as_posix(): p.read_bytes() for p in labelled.rglob("*.png")}
    archive = write_zip(tmp_path / "labelled.zip", files)
    first, second = (json.loads(evaluate(data, "--json")[1]) for data in (labelled, archive))
    assert first | {"images_per_s": 0} == second | {"images_per_s": 0}


def test_the_table_has_the_figures_of_the_json(evaluate, labelled: Path):
    told = json.loads(evaluate(labelled, "--json")[1])
    _, out, _ = evaluate(labelled)
    for text in ("top-1", "mean over classes", "cat", "dog", f"{100 * told['top1']:.1f} %"):
        assert text in out


def test_folders_named_otherwise_are_mapped_or_left_out(evaluate, labelled: Path):
    (labelled / "dog").rename(labelled / "hound")
    code, _, err = evaluate(labelled)
    assert code == 1
    assert "no class 'hound'; it has 'cat', 'dog', 'owl'. Use --map FOLDER=LABEL or --ignore-unknown" in err
    assert json.loads(evaluate(labelled, "--json", "--ignore-unknown")[1])["images"] == 4
    mapped = json.loads(evaluate(labelled, "--json", "--map", "hound=DOG")[1])
    assert {c["label"] for c in mapped["classes"] if c["images"]} == {"cat", "dog"}


def test_classes_that_differ_in_case_alone_are_told_apart(labelled: Path):
    write_files(labelled, {"CAT/0.png": plain(9)})
    with ImageFiles(labelled) as files:
        truths = _truths(files, ("CAT", "Dog", "cat"), {}, ignore=False)
    assert {name.split("/")[0]: number for name, number in truths.items()} == {"CAT": 0, "cat": 2, "dog": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--map", "hound"), "should be FOLDER=LABEL"), (("--map", "cat=ox"), "the model has no class 'ox'")],
)
def test_a_mapping_that_makes_no_sense_is_misuse(evaluate, labelled: Path, options: tuple[str, ...], message: str):
    code, _, err = evaluate(labelled, *options)
    assert code == 2
    assert message in err


def test_an_image_in_no_folder_is_named(evaluate, labelled: Path):
    write_files(labelled, {"loose.png": plain(1)})
    code, _, err = evaluate(labelled)
    assert (code, "loose.png lies in no folder" in err) == (1, True)


def test_images_that_cannot_be_read_are_counted_and_named(evaluate, labelled: Path):
    write_files(labelled, {"cat/broken.png": plain(1)[:50]})
    code, out, err = evaluate(labelled, "--json")
    told = json.loads(out)
    assert (code, told["images"]) == (1, 8)
    assert [f["path"] for f in told["failures"]] == ["cat/broken.png"]
    assert "1 images were not answered, the first: cat/broken.png: " in err


def test_images_of_no_class(evaluate, labelled: Path, tmp_path: Path):
    others = write_files(tmp_path / "others", {f"{i}.png": plain(80 * i) for i in range(3)})
    told = json.loads(evaluate(labelled, "--json", "--out-of-scope", others)[1])["out_of_scope"]
    assert (told["images"], told["high_confidence"]) == (3, None)
    assert sum(told["answers"].values()) == 3
    assert set(told["answers"]) <= set(LABELS)


def test_a_mistyped_name_of_images_of_no_class_is_said_before_anything_is_measured(
    evaluate, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[object] = []
    monkeypatch.setattr("app.cli.evaluate._open", lambda *arguments: asked.append(arguments))
    code, out, err = evaluate(labelled, "--out-of-scope", tmp_path / "gone")
    assert (code, out, asked) == (1, "", [])
    assert "no such file or folder" in err


def test_nothing_to_measure_is_said(evaluate, tmp_path: Path, labelled: Path):
    assert "no such file or folder" in evaluate(tmp_path / "gone")[2]
    (tmp_path / "hollow").mkdir()
    assert "holds no image in a folder named after a class" in evaluate(tmp_path / "hollow")[2]
    broken = write_files(tmp_path / "broken", {"cat/a.png": b"\x89PNG"})
    code, _, err = evaluate(broken)
    assert code == 1
    assert "not one of its 1 images was answered" in err


def test_a_server_that_is_not_there(labelled: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", "http://127.0.0.1:9", str(labelled)]) == 1
    assert "no server answers there" in capsys.readouterr().err
