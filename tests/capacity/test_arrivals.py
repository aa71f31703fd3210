"""Owns the tests of capacity/arrivals.py."""

from pathlib import Path

import numpy as np
import pytest

from app.capacity.arrivals import diurnal, duration_s, read_trace, steady
from app.errors import SetupError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_steady_arrivals_are_a_poisson_process():
    arrivals, chance = steady(50, 400), np.random.default_rng(1)
    instants = np.concatenate([arrivals.instants_of(step, chance) for step in range(400)])
    gaps = np.diff(instants)
    assert arrivals.images == 20_000
    assert len(instants) == pytest.approx(20_000, rel=0.03)
    assert gaps.min() >= 0
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # as of an exponential distribution


def test_a_day_is_busiest_at_two_in_the_afternoon():
    day = diurnal(100, 86_400, 0.5)
    assert day.images == pytest.approx(100 * 86_400)
    assert day.rates.argmax() == pytest.approx(14 * 3600, abs=1)
    assert (day.rates.max(), day.rates.min()) == pytest.approx((150, 50))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("24h", 86_400), ("7d", 604_800)])
def test_durations(text: str, seconds: float):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5s", "5 weeks", "nan", "1e9"])
def test_no_durations(text: str):
    with pytest.raises(ValueError, match="no duration such as"):
        duration_s(text)


def test_instants_are_kept(tmp_path: Path):
    trace = read_trace(written(tmp_path, "# from the proxy\ninstant\n100.0\n100.2\n\n103.5\n"))
    assert trace.rates.tolist() == [2, 0, 0, 1]
    chance = np.random.default_rng(0)
    assert [trace.instants_of(step, chance).tolist() for step in range(4)] == [[0, pytest.approx(0.2)], [], [], [3.5]]
    assert trace.scaled(10).rates.tolist() == [20, 0, 0, 10]


def test_instants_as_times_with_zones_in_any_order(tmp_path: Path):
    trace = read_trace(written(tmp_path, "2026-11-28T10:00:02+01:00\n2026-11-28T09:00:00Z\n"))
    assert trace.instants is not None
    assert trace.instants.tolist() == [0, 2]


def test_rates_hold_until_the_next_row(tmp_path: Path):
    trace = read_trace(written(tmp_path, "seconds,images_per_s\n60,10\n62,20\n65,5\n"))
    assert trace.rates.tolist() == [10, 10, 20, 20, 20, 5, 5, 5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it holds no rows"),
        ("# nothing\n", "it holds no rows"),
        ("1\n2\nthree\n", "line 3: 'three' is neither seconds nor a time"),
        ("1\nnan\n", "line 2: 'nan' is neither"),
        ("0,1\n1,2\n1,3\n", "line 3: its second 1 is not after"),
        ("0,1\n1,-2\n", "line 2: its rate is below 0"),
        ("0,1\n1,x\n", "line 2: 'x' is no number"),
        ("0,1\n", "line 1: one row does not say how long"),
        ("0,1\n2\n", "line 2: it has 1 columns, and the first row has 2"),
        ("0,1,2\n", "line 1: it has 3 columns"),
        ("0\n99999999\n", "at most"),
        ("\x1b[31m1\n2\x00\n", "line"),
    ],
)
def test_a_trace_that_is_none_is_told_in_one_line(tmp_path: Path, text: str, reason: str):
    with pytest.raises(SetupError) as caught:
        read_trace(written(tmp_path, text))
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_trace_that_is_not_there_or_no_text(tmp_path: Path):
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        read_trace(tmp_path / "none.csv")
    (tmp_path / "picture").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(SetupError, match="no CSV file"):
        read_trace(tmp_path / "picture")
