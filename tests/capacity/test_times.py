"""Owns the tests of capacity/times.py and capacity/fit.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.capacity.fit import Closed, closed_rate, fitted
from app.capacity.times import parse_times, read_times
from app.errors import SetupError
from tests.capacity.service import QUICK, service


def test_batches_lie_on_the_line_through_the_nearest_points():
    times = service(batch_s=[[1, 0.01], [4, 0.04], [8, 0.06]])
    assert [times.batch_seconds(n) for n in (1, 2, 6, 8, 10)] == pytest.approx([0.01, 0.02, 0.05, 0.06, 0.07])
    assert service(batch_s=[[1, 0.01]]).batch_seconds(8) == 0.01
    assert service(alone_s=[]).alone_seconds(1) == service().batch_seconds(1)


def test_what_a_replica_can_do_at_most():
    assert service(batch_s=[[8, 0.08]], http_s=0, decode_s=0).images_per_s == pytest.approx(200)  # two lanes
    assert service(batch_s=[[8, 0.008]], http_s=0.004, decode_s=0, cores=64).images_per_s == pytest.approx(250)


def test_it_survives_its_own_file(tmp_path: Path):
    path = tmp_path / "times.json"
    path.write_text(service().model_dump_json())
    assert read_times(path) == service()
    path.write_text(json.dumps({"capacity": {"figures": {"times": service().model_dump()}}}))  # a benchmark's
    assert read_times(path) == service()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "holds no service times"),
        ({"overload": {}, "capacity": 3}, "holds no service times"),
        ({**QUICK, "cores": 0}, "cores: Input should be greater than 0"),
        ({**QUICK, "lanes": "two"}, "lanes: Input should be a valid integer"),
        ({**QUICK, "decode_s": []}, "batch_s and decode_s should have at least one entry"),
        ({**QUICK, "batch_s": [[8, 0.1], [1, 0.1]]}, "ascending"),
        ({**QUICK, "batch_s": [[1, -0.1]]}, "batch_s.0.1"),
        ({**QUICK, "decode_s": float("nan")}, "decode_s.0"),
        ({**QUICK, "batch_s": [[1, 0]], "decode_s": 0}, "should take some time"),
        ({**QUICK, "format": "something else"}, "format is 'something else'"),
        ({**QUICK, "decodes_s": 1}, "decodes_s: Extra inputs are not permitted"),
        ({key: value for key, value in QUICK.items() if key != "batch_s"}, "batch_s: Field required"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(document: Any, reason: str):
    with pytest.raises(SetupError) as caught:
        parse_times(document, "times.json")
    assert str(caught.value).startswith("times.json: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "no JSON"), (b"\xff\xfe{", "no JSON"), (b"[" * 100_000, "no JSON")]
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "times.json").write_bytes(content)
    with pytest.raises(SetupError, match=reason):
        read_times(tmp_path / "times.json")
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        read_times(tmp_path / "none.json")


def test_a_closed_loop_is_as_fast_as_its_answers():
    lone = service()
    assert closed_rate(lone, 1) == pytest.approx(1 / (0.0008 + 0.002 + 0.006), rel=0.12)  # in ticks of a millisecond
    assert closed_rate(lone, 32) == pytest.approx(lone.images_per_s, rel=0.05)


def test_fitting_finds_a_service_again_by_what_it_does():
    truth = service(batch_s=[[1, 0.014], [8, 0.075]], alone_s=[[1, 0.009], [8, 0.06]])
    runs = [Closed(n, closed_rate(truth, n, 0.1), 0.1) for n in (1, 4, 32)]
    found = fitted(service(), runs)
    assert found.batch_seconds(1) == pytest.approx(0.014, rel=0.15)
    assert found.batch_seconds(8) == pytest.approx(0.075, rel=0.05)
    assert found.alone_seconds(1) == pytest.approx(0.009, rel=0.1)
