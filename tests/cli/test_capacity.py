"""Owns the tests of cli/capacity.py, but for the measuring, which test_capacity_measure.py has."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from tests.capacity.service import QUICK


@pytest.fixture
def times(tmp_path: Path) -> str:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(QUICK))
    return str(path)


def simulated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["capacity", *arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_fixed_number_of_replicas(times: str, capsys: pytest.CaptureFixture[str]):
    document = simulated(
        capsys, times, "--rate", "200", "--replicas", "2", "--duration", "60s", "--price-core-hour", "1"
    )
    total = document["total"]
    assert document["simulated"] == "every image, event by event"
    assert total["images"] == pytest.approx(12_000, rel=0.05)
    assert (total["replicas_least"], total["replicas_most"]) == (2, 2)
    assert total["cost"] == pytest.approx(2 * 2 / 60)
    assert 5 < total["p50_ms"] < total["p99_ms"] < 200


def test_a_day_scaled_by_the_hpa_in_a_table_and_a_picture(
    times: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    picture = tmp_path / "day.png"
    assert main(["capacity", times, "--rate", "3000", "--profile", "diurnal", "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "14:00:00" in out
    assert "259,200,000 images" in out
    assert "a million images" in out
    assert "steady state of a replica" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_recorded_trace_and_a_manifest(times: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    trace, manifest = tmp_path / "trace.csv", tmp_path / "keda.json"
    trace.write_text("seconds,images_per_s\n0,0\n60,100\n360,0\n420,0\n")
    triggers = [{"type": "prometheus", "metadata": {"query": "sum(vit_busy)", "threshold": "0.5"}}]
    manifest.write_text(json.dumps({"kind": "ScaledObject", "spec": {"triggers": triggers}}))
    document = simulated(capsys, times, "--trace", str(trace), "--manifest", str(manifest))
    assert document["total"]["replicas_least"] == 0
    assert document["total"]["images"] == pytest.approx(30_000, rel=0.03)
    assert 0.05 < document["total"]["refused_share"] < 0.5  # until the first pod is there


def test_the_same_seed_gives_the_same_day(times: str, capsys: pytest.CaptureFixture[str]):
    options = (times, "--rate", "100", "--replicas", "1", "--duration", "20s", "--seed")
    first, again, other = (simulated(capsys, *options, seed) for seed in ("1", "1", "2"))
    assert first["total"] == again["total"] != other["total"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "name a file of service times"),
        (["T"], "give either --rate or --trace"),
        (["T", "--rate", "5", "--trace", "x"], "give either --rate or --trace"),
        (["T", "--rate", "0"], "--rate is 0, but it should be above 0"),
        (["T", "--rate", "nan"], "--rate is nan"),
        (["T", "--rate", "5", "--replicas", "-1"], "--replicas is -1"),
        (["T", "--rate", "5", "--duration", "soon"], "--duration: 'soon' is no duration"),
        (["T", "--rate", "5", "--swing", "2"], "at most 1"),
        (["T", "--rate", "5", "--autoscaler", "none"], "say how many there are"),
        (["--measure", "out.json", "--seconds", "0"], "--seconds is 0"),
    ],
)
def test_misuse_is_told(times: str, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str):
    assert main(["capacity", *(times if argument == "T" else argument for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.splitlines()) == 1


def test_bad_files_are_told_in_one_line(times: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "no.json").write_text("{]")
    for arguments, reason in (
        ([str(tmp_path / "no.json"), "--rate", "5"], "it is no JSON"),
        ([str(tmp_path), "--rate", "5"], "cannot be read"),
        ([times, "--trace", str(tmp_path / "no.json")], "it holds no rows"),
        ([times, "--rate", "5", "--manifest", str(tmp_path / "none")], "cannot be read"),
        ([times, "--rate", "5", "--min", "5", "--max", "2"], "from 5 to 2 replicas"),
        ([times, "--rate", "5", "--replicas", "1", "--plot", str(tmp_path)], "cannot be written"),
        ([times, "--rate", "5", "--duration", "9999999d"], "can be simulated at most"),
    ):
        assert main(["capacity", *arguments]) == 1, reason
        error = capsys.readouterr().err
        assert reason in error
        assert len(error.splitlines()) == 1
