"""Owns the tests of cli/results.py, cli/classify_output.py and cli/classify_lines.py."""

import csv
import io
import json
from dataclasses import replace

import pytest

from app.bulk.answers import Failure
from app.bulk.images import Image, given
from app.cli import classify_output
from app.cli.classify_lines import Csv, JsonLines, Lines, Outcome, RowLines
from app.cli.classify_output import Format, Screen
from app.cli.results import CSV_HEAD, Result, write_table
from app.domain import Classification, Prediction, Timing

CAT = Classification(
    model="vit.pets",
    predictions=(Prediction("cat, tabby", 3, 0.75), Prediction("dog", 0, 0.25)),
    timing=Timing(1.23456, 0.5, 2.0, 4.0),
    batch_size=2,
)
BROKEN = Failure("the PNG image cannot be decoded", "corrupt_image")
RESULTS: list[tuple[str, Outcome]] = [("a [b].png", CAT), ('odd,\n"name".png', BROKEN), ("ü\\xff.png", CAT)]
DOCUMENTS = [
    {
        "path": name,
        "model": "vit.pets",
        "activation": "softmax",
        "predictions": [
            {"label": "cat, tabby", "index": 3, "score": 0.75},
            {"label": "dog", "index": 0, "score": 0.25},
        ],
        "timing_ms": {"decode": 1.235, "queue": 0.5, "inference": 2.0, "total": 4.0},
        "batch_size": 2,
    }
    if outcome is CAT
    else {"path": name, "error": BROKEN.error, "code": BROKEN.code}
    for name, outcome in RESULTS
]


def image(name: str) -> Image:
    return Image(name, name, given(b""))


def shown(capsys: pytest.CaptureFixture[str], form: Format, results: list[tuple[str, Outcome]] = RESULTS) -> str:
    screen = Screen(form, 2)
    for name, outcome in results:
        assert screen.is_new(name)
        screen.write(image(name), outcome)
    screen.close(finished=True)
    return capsys.readouterr().out


def test_json_is_an_array_of_http_answers_with_the_path(capsys: pytest.CaptureFixture[str]):
    assert json.loads(shown(capsys, "json")) == DOCUMENTS
    assert json.loads(shown(capsys, "json", [])) == []


def test_json_lines_are_the_same_one_a_line(capsys: pytest.CaptureFixture[str]):
    assert [json.loads(line) for line in shown(capsys, "jsonl").splitlines()] == DOCUMENTS


def test_json_repeats_a_notice(capsys: pytest.CaptureFixture[str]):
    assert json.loads(shown(capsys, "json", [("a", replace(CAT, notice="random weights"))]))[0]["notice"]


def test_csv_has_a_row_for_each_prediction_and_for_each_failure(capsys: pytest.CaptureFixture[str]):
    assert list(csv.reader(io.StringIO(shown(capsys, "csv")))) == [
        list(CSV_HEAD),
        ["a [b].png", "1", "cat, tabby", "3", "0.750000", "", ""],
        ["a [b].png", "2", "dog", "0", "0.250000", "", ""],
        ['odd,\n"name".png', "", "", "", "", "corrupt_image", "the PNG image cannot be decoded"],
        ["ü\\xff.png", "1", "cat, tabby", "3", "0.750000", "", ""],
        ["ü\\xff.png", "2", "dog", "0", "0.250000", "", ""],
    ]


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]):
    lines = shown(capsys, "table").splitlines()
    assert lines[0].split() == ["file", "label", "score", "ms"]
    assert lines[2].split() == ["a", "[b].png", "cat,", "tabby", "75.0", "%", "4.0"]
    assert lines[3].split() == ["dog", "25.0", "%"]
    assert "corrupt_image: the PNG image cannot be decoded" in lines[4]


def test_a_long_table_is_several(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(classify_output, "_IN_A_TABLE", 2)
    assert shown(capsys, "table").count("label") == 2


def test_a_table_that_goes_to_a_file_is_not_cut(capsys: pytest.CaptureFixture[str]):
    name = "folder/" * 40 + "photograph.png"
    write_table([Result(name, CAT)])
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("lines", [JsonLines(), RowLines(), Csv(2)], ids=["jsonl", "rows", "csv"])
def test_what_was_written_is_told_wherever_it_is_cut(lines: Lines):
    texts = [lines.text(image(name), outcome).encode() for name, outcome in RESULTS]
    whole = lines.head.encode() + b"".join(texts)
    ends = [len(lines.head) + sum(map(len, texts[: n + 1])) for n in range(len(texts))]
    for cut in range(len(whole) + 1):
        told = [each for each in lines.told(io.BytesIO(whole[:cut])) if each.name is not None]
        expected = [
            (name, end, outcome is BROKEN) for (name, outcome), end in zip(RESULTS, ends, strict=True) if end <= cut
        ]
        assert [(each.name, each.end, each.failed) for each in told] == expected


@pytest.mark.parametrize("lines", [JsonLines(), RowLines(), Csv(2)], ids=["jsonl", "rows", "csv"])
@pytest.mark.parametrize("other", [b"a picture\n", b'{"a": 1}\n', b"[1]\n", b"\xff\xfe\n", b'path,"x"y\n'])
def test_a_file_of_something_else_is_not_taken_for_answers(lines: Lines, other: bytes):
    with pytest.raises(ValueError, match=r"."):
        list(lines.told(io.BytesIO(other)))
