"""Owns the tests of cli/classify_file.py: files of answers that are gone on with."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from app.bulk.answers import Failure
from app.bulk.images import Image, given
from app.bulk.row_table import read_rows
from app.cli import classify_file
from app.cli.classify_file import UNFINISHED, AnswerFile, AnswerTable
from app.cli.classify_lines import Csv, JsonLines, Outcome
from app.cli.classify_output import Output
from app.domain import Classification, Prediction, Timing
from app.errors import SetupError

CAT = Classification("vit", (Prediction("cat", 1, 0.75), Prediction("dog", 0, 0.25)), Timing(1, 1, 1, 1), 1)
BROKEN = Failure("broken", "corrupt_image")
FORMS = ["jsonl", "csv", "parquet"]
ANSWERS: dict[str, Outcome] = {"1": CAT, "2\n": BROKEN, "3": CAT, "4": BROKEN}


def open_output(path: Path, *, resume: bool = True, retry: bool = False, model: str = "vit") -> Output:
    if path.suffix == ".parquet":
        return AnswerTable(str(path), model, resume=resume, retry=retry)
    lines = Csv(2) if path.suffix == ".csv" else JsonLines()
    return AnswerFile(str(path), lines, model, resume=resume, retry=retry)


def answer(output: Output, answers: dict[str, Outcome], finished: bool = True) -> list[str]:
    """Which names were new."""
    new = [name for name in answers if output.is_new(name)]
    for name in new:
        output.write(Image(name, name, given(b"")), answers[name])
    output.close(finished=finished)
    return new


def names(path: Path) -> list[tuple[str, bool]]:
    """Of each image, in order: its name, and whether it has no answer."""
    if path.suffix == ".parquet":
        return [(row["id"], row["code"] is not None) for row in read_rows(str(path))]
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
        return [(row["path"], bool(row["code"])) for row in rows if row["rank"] in ("", "1")]
    return [(row["path"], "code" in row) for row in map(json.loads, path.read_text().splitlines())]


@pytest.fixture(params=FORMS)
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"out.{request.param}"


def test_a_second_run_adds_what_is_new(out: Path):
    assert answer(open_output(out), ANSWERS) == list(ANSWERS)
    assert answer(open_output(out), ANSWERS) == []
    assert answer(open_output(out), {"0": CAT, **ANSWERS, "5": BROKEN}) == ["0", "5"]
    assert names(out) == [("1", False), ("2\n", True), ("3", False), ("4", True), ("0", False), ("5", True)]
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name]


def test_what_is_named_twice_is_answered_once(out: Path):
    output = open_output(out)
    assert [output.is_new(name) for name in ("1", "2", "1")] == [True, True, False]


def test_those_without_an_answer_are_tried_again(out: Path):
    answer(open_output(out), ANSWERS)
    assert answer(open_output(out, retry=True), dict.fromkeys(ANSWERS, CAT)) == ["2\n", "4"]
    assert names(out) == [("1", False), ("3", False), ("2\n", False), ("4", False)]


def test_answers_that_are_there_are_not_written_over(out: Path):
    answer(open_output(out, resume=False), ANSWERS)
    with pytest.raises(SetupError, match="there are answers in it; --resume goes on with them"):
        open_output(out, resume=False)
    assert len(names(out)) == 4


@pytest.mark.parametrize("form", ["jsonl", "parquet"])  # csv does not say whose they are
def test_another_models_answers_are_not_mixed_in(tmp_path: Path, form: str):
    out = tmp_path / f"out.{form}"
    answer(open_output(out), ANSWERS)
    with pytest.raises(SetupError, match="its answers are of the model 'vit', not of 'other'"):
        open_output(out, model="other")


def test_two_runs_do_not_write_at_once(out: Path):
    first = open_output(out)
    with pytest.raises(SetupError, match="another run is writing there"):
        open_output(out)
    first.close(finished=False)


def test_wherever_a_run_has_ended_the_next_completes_it(out: Path):
    answer(open_output(out), ANSWERS, finished=False)
    lines = Path(f"{out}{UNFINISHED}") if out.suffix == ".parquet" else out
    whole = lines.read_bytes()
    for cut in range(0, len(whole) + 1, 5):
        lines.write_bytes(whole[:cut])
        answer(open_output(out), ANSWERS)
        assert names(out) == [(name, outcome is BROKEN) for name, outcome in ANSWERS.items()]
        out.unlink()


def test_a_table_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out.parquet"
    answer(open_output(out), {"1": BROKEN}, finished=False)
    assert not out.exists()
    unlink = os.unlink
    monkeypatch.setattr(os, "unlink", lambda path: None)  # ended just before this
    answer(open_output(out), {"1": BROKEN, "2": CAT})
    monkeypatch.setattr(os, "unlink", unlink)
    answer(open_output(out, retry=True), {"1": CAT}, finished=False)
    answer(open_output(out), {"1": CAT, "2": CAT, "3": CAT})
    assert names(out) == [("2", False), ("1", False), ("3", False)]


def test_something_else_is_not_written_to(out: Path):
    out.write_bytes(b"something else\n")
    with pytest.raises(SetupError, match="something else after byte 0|no table of answers"):
        open_output(out)
    assert out.read_bytes() == b"something else\n"


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path):
    with pytest.raises(SetupError, match=r"cannot be written: (No such file|Is a directory)"):
        open_output(tmp_path / "no" / "out.jsonl")
    output = open_output(Path("/dev/full"))
    with pytest.raises(SetupError, match="cannot be written: No space left on device"):
        answer(output, ANSWERS)


def test_answers_do_not_wait_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(classify_file, "_EVERY_S", 0.0)
    output = open_output(tmp_path / "out.jsonl")
    output.write(Image("1", "1", given(b"")), CAT)
    assert names(tmp_path / "out.jsonl") == [("1", False)]
    output.close(finished=True)
