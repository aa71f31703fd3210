"""Owns the tests of cli/results.py."""

import csv
import io
import json
from dataclasses import replace

import pytest

from app.cli.results import Failure, Result, write_csv, write_json, write_table
from app.domain import Classification, Prediction, Timing

CAT = Classification(
    model="vit.pets",
    predictions=(Prediction("cat, tabby", 3, 0.75), Prediction("dog", 0, 0.25)),
    timing=Timing(1.23456, 0.5, 2.0, 4.0),
    batch_size=2,
)
RESULTS = [
    Result("a [b].png", CAT),
    Result('odd, "name".png', Failure("the PNG image cannot be decoded", "corrupt_image")),
]


def test_json_is_the_http_answer_with_the_path(capsys: pytest.CaptureFixture[str]):
    write_json(RESULTS)
    assert json.loads(capsys.readouterr().out) == [
        {
            "path": "a [b].png",
            "model": "vit.pets",
            "activation": "softmax",
            "predictions": [
                {"label": "cat, tabby", "index": 3, "score": 0.75},
                {"label": "dog", "index": 0, "score": 0.25},
            ],
            "timing_ms": {"decode": 1.235, "queue": 0.5, "inference": 2.0, "total": 4.0},
            "batch_size": 2,
        },
        {"path": 'odd, "name".png', "error": "the PNG image cannot be decoded", "code": "corrupt_image"},
    ]


def test_json_repeats_a_notice(capsys: pytest.CaptureFixture[str]):
    write_json([Result("a", replace(CAT, notice="random weights"))])
    assert json.loads(capsys.readouterr().out)[0]["notice"] == "random weights"


def test_csv_has_a_row_for_each_prediction_and_for_each_failure(capsys: pytest.CaptureFixture[str]):
    write_csv(RESULTS)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["path", "rank", "label", "index", "score", "code", "error"],
        ["a [b].png", "1", "cat, tabby", "3", "0.750000", "", ""],
        ["a [b].png", "2", "dog", "0", "0.250000", "", ""],
        ['odd, "name".png', "", "", "", "", "corrupt_image", "the PNG image cannot be decoded"],
    ]


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]):
    write_table(RESULTS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", "label", "score", "ms"]
    assert lines[2].split() == ["a", "[b].png", "cat,", "tabby", "75.0", "%", "4.0"]
    assert lines[3].split() == ["dog", "25.0", "%"]
    assert "corrupt_image: the PNG image cannot be decoded" in lines[4]


def test_a_table_that_goes_to_a_file_is_not_cut(capsys: pytest.CaptureFixture[str]):
    name = "folder/" * 40 + "photograph.png"
    write_table([Result(name, CAT)])
    assert name in capsys.readouterr().out
