"""Owns the tests of commands on models whose scores are no softmax."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.main import main
from app.cli.remote import RemoteClassifier
from tests.cli.test_remote import ANSWER
from tests.graphs.tiny import blot_files, network, saved
from tests.training.pictures import plain, write_files


def package(folder: Path, activation: Any) -> Path:
    made = network()
    made.head.bias.add_(2.0)
    return saved(folder / "model", made, activation=activation)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(plain(70))
    return tmp_path / "photo.png"


@pytest.mark.parametrize(
    ("activation", "note"),
    [
        ("softmax", ""),
        ("sigmoid", "vit-serve classify: note: scores are by sigmoid, each class on its own"),
        ("none", "vit-serve classify: note: scores have no activation: they are the model's own numbers"),
    ],
)
def test_classify_says_what_its_scores_are(
    activation: str, note: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(package(photo.parent, activation))
    told = {}
    for form in ("json", "csv", "table"):
        assert main(["classify", "--model", model, "--format", form, str(photo)]) == 0
        told[form], err = capsys.readouterr()
        assert err.startswith(note) and err.count("\n") == bool(note)
    [answer] = json.loads(told["json"])
    assert answer["activation"] == activation
    best = answer["predictions"][0]
    assert best["score"] > 1 if activation == "none" else 0 < best["score"] < 1
    shown = f"{best['score']:.4g}" if activation == "none" else f"{100 * best['score']:.1f} %"
    assert shown in told["table"] and ("%" in told["table"]) == (activation != "none")
    first = next(csv.DictReader(io.StringIO(told["csv"])))
    assert float(first["score"]) == pytest.approx(best["score"], rel=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_inspect_says_it(activation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(package(tmp_path, activation))
    assert main(["inspect", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["activation"] == activation
    assert main(["inspect", model]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines() if "activation" in line] == [
        ["activation", activation]
    ]


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_evaluate_refuses_what_folders_cannot_judge(
    activation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_files(tmp_path / "data", {"cat/0.png": plain(3), "dog/1.png": plain(9)})
    assert main(["evaluate", str(package(tmp_path, activation)), str(data)]) == 1
    out, err = capsys.readouterr()
    [line] = [line for line in err.splitlines() if "error" in line]
    assert (out, f"the activation of its scores is {activation}" in line) == ("", True)


def test_evaluate_refuses_a_server_of_such_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def model(self: RemoteClassifier) -> dict[str, Any]:
        return {"name": "tags", "labels": ["cat", "dog"], "activation": "sigmoid"}

    monkeypatch.setattr(RemoteClassifier, "model", model)
    data = write_files(tmp_path / "data", {"cat/0.png": plain(3)})
    assert main(["evaluate", "http://127.0.0.1:9", str(data)]) == 1
    assert "tags cannot be evaluated" in capsys.readouterr().err


async def test_a_servers_answer_keeps_it() -> None:
    for answer, expected in ((ANSWER, "softmax"), ({**ANSWER, "activation": "sigmoid"}, "sigmoid")):
        transport = httpx.MockTransport(lambda _, answer=answer: httpx.Response(200, json=answer))
        async with RemoteClassifier("http://server/", 4, transport) as server:
            assert (await server.classify(b"pixels", top_k=1)).activation == expected


def test_quantize_refuses_a_regression_before_it_reads_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = package(tmp_path, "none"), tmp_path / "out"
    assert main(["quantize", str(model), "--images", str(tmp_path / "nowhere"), "--out", str(out)]) == 1
    error = capsys.readouterr().err.strip()
    assert "answers with numbers and no scores (activation none)" in error and "\n" not in error
    assert not out.exists()


def test_quantize_judges_sigmoids_by_all_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{'cat' if i % 2 else 'dog'}/{name}": data for i, (name, data) in enumerate(blot_files(70).items())}
    images, out = write_files(tmp_path / "images", files), tmp_path / "out"
    arguments = ["quantize", str(package(tmp_path, "sigmoid")), "--images", str(images), "--out", str(out)]
    assert main([*arguments, "--calibration", "10", "--agreement", "0.5"]) == 0
    told = capsys.readouterr().out
    assert "no score moved by more than 0.1: -, " in told and "accuracy" not in told
    assert json.loads((out / "config.json").read_text())["vit_serve"]["activation"] == "sigmoid"
