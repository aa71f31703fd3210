"""Owns the tests of what `vit-serve capacity --measure` does: cli/service_times.py and cli/service_load.py."""

import json
from pathlib import Path

import pytest

from app.capacity.times import read_times
from app.cli.service_load import serving
from app.errors import SetupError
from tests.cli.conftest import Command


@pytest.mark.operations
@pytest.mark.timeout(120)
def test_measuring_a_model_and_planning_with_it(vit_serve: Command, package: Path, tmp_path: Path):
    out = tmp_path / "times.json"
    done = vit_serve("capacity", "--measure", out, "--model", package, "--seconds", "0.3", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert f"vit-serve capacity {out} --rate" in done.stdout
    times = read_times(out)
    assert (times.engine, times.cores, times.lanes, times.decode_threads) == ("torch", 1, 1, 1)
    assert 0 < times.start_s < 50
    assert len(times.decode_s) == 4
    assert all(0 < seconds < 1 for seconds in (*times.decode_s, times.batch_seconds(1), times.http_s, times.refused_s))
    assert times.refused_s < times.http_s + 0.002
    plan = vit_serve("capacity", out, "--rate", "50", "--duration", "30s", "--replicas", "1", "--json")
    assert json.loads(plan.stdout)["total"]["answered"] > 0


def test_without_images_nothing_is_measured(vit_serve: Command, tmp_path: Path):
    done = vit_serve("capacity", "--measure", tmp_path / "out.json", "--images", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("there are no images in it")


def test_a_server_that_does_not_start_says_why():
    with (
        pytest.raises(SetupError, match="did not start: .*--slots"),
        serving("noop", ("--slots", "none"), (b"",)),
    ):
        pass
