"""Owns the proof that a model is worth the same over HTTP and in process; does not test what is measured."""

import json
from pathlib import Path

import pytest

from app.cli.main import main
from tests.benchmark.server import Server
from tests.training.pictures import plain, write_files


def test_a_server_and_its_model_are_measured_alike(
    embedded: Server, cat: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"cat/chelsea.jpg": cat, "ship/grey.png": plain(90, 40), "frog/dark.png": plain(20, 32)}
    data = write_files(tmp_path / "images", files)
    told = []
    for subject in (f"http://127.0.0.1:{embedded.port}", "embedded"):
        assert main(["evaluate", subject, str(data), "--json", "--engine", "auto"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    over_http, in_process = told
    assert over_http["model"] == in_process["model"]
    assert over_http["images"] == 3
    assert {c["label"]: c["images"] for c in over_http["classes"] if c["images"]} == {"cat": 1, "frog": 1, "ship": 1}
    assert [c["found"] for c in over_http["classes"] if c["label"] == "cat"] == [1.0]
    for name in ("top1", "top5", "confusions", "high_confidence"):
        assert over_http[name] == in_process[name]
    assert over_http["log_loss"] == pytest.approx(in_process["log_loss"], rel=0.05)
