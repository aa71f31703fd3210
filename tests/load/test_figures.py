"""Owns the tests of what is computed of a run's record."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.load.figures import figures_of, percentile
from app.load.outcome import CONNECT, TIMEOUT, UNFINISHED, Record
from app.load.run import Load, Run
from app.load.server_side import ServerSide

NOTHING = ServerSide({}, None, {}, None)


def run_of(rows: list[tuple[float, float, float, int]], cpu_share: float = 0.1, waited: int = 0) -> Run:
    """A window from second 100 to 110; rows of intended, sent, ended, code."""
    record = Record()
    for row in rows:
        record.add(*row)
    return Run(record.rows(), 100.0, 110.0, cpu_share, waited, None, NOTHING)


CLOSED = Load(10.0, 1.0, 4)
OPEN = Load(10.0, 1.0, 4, rate=100.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_percentiles_are_the_least_value_that_the_share_does_not_exceed(values: list[float], share: float):
    found = percentile(np.sort(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values)


def test_percentiles_of_a_run_are_exact():
    rows = [(101.0, 101.0, 101.0 + ms / 1000, 200) for ms in np.random.default_rng(0).permutation(1000) + 1]
    found = figures_of(run_of(rows), CLOSED, 500.0)
    assert found.latency_ms == pytest.approx(
        {"mean": 500.5, "p50": 500, "p90": 900, "p99": 990, "p99_9": 999, "max": 1000}
    )
    assert (found.throughput_per_s, found.answered) == (100, 1000)
    assert dict(found.curve)[0.9] == pytest.approx(900)
    assert not found.warnings or found.warnings == ["With 1000 answers p99.9 is left to chance: let it run longer."]


def test_what_ends_outside_the_window_of_a_closed_loop_does_not_count():
    rows = [(99.0, 99.0, 99.5, 200), (99.0, 99.0, 101.0, 200), (109.0, 109.0, 109.5, 503), (109.0, 109.0, 111.0, 200)]
    found = figures_of(run_of(rows), CLOSED, None)
    assert (found.sent, found.answered, found.statuses) == (2, 1, {"503": 1})
    assert found.latency_ms and found.latency_ms["max"] == pytest.approx(2000)
    assert found.goodput_per_s is None and found.in_time is None


def test_of_an_open_loop_counts_what_was_due_in_the_window():
    rows = [
        (99.0, 99.0, 101.0, 200),  # answered in the window: throughput, but no latency
        (101.0, 102.0, 103.0, 200),
        (109.0, 109.0, 112.0, 200),
        (109.0, 109.5, 139.0, TIMEOUT),
        (109.5, 109.5, 109.5, CONNECT),
        (111.0, 111.0, 111.1, 503),
    ]
    found = figures_of(run_of(rows), OPEN, 2500.0)
    assert (found.sent, found.answered, found.refused) == (4, 2, 0)
    assert found.errors == {"timeout": 1, "connect": 1}
    assert found.throughput_per_s == found.goodput_per_s == pytest.approx(0.2)
    assert found.in_time == 0.25
    assert found.latency_ms and found.late_ms
    assert [found.latency_ms["p50"], found.latency_ms["max"]] == pytest.approx([2000, 3000])
    assert found.late_ms["max"] == pytest.approx(1000)


def test_second_by_second():
    rows = [(100.0 + i / 10, 100.0 + i / 10, 100.05 + i / 10, 200 if i < 50 else 429) for i in range(100)]
    found = figures_of(run_of(rows), CLOSED, None).over_time
    assert [row.second for row in found] == list(range(10))
    assert [row.answered_per_s for row in found] == [10] * 5 + [0] * 5
    assert [row.refused_per_s for row in found] == [0] * 5 + [10] * 5
    assert found[0].p99_ms == pytest.approx(50) and found[9].p99_ms is None


FINE = [(100.0 + i / 2000, 100.0 + i / 2000, 100.01 + i / 2000, 200) for i in range(19_000)]


@pytest.mark.parametrize(
    ("run", "load", "warning", "limited"),
    [
        (run_of(FINE), OPEN, None, False),
        (run_of(FINE, cpu_share=0.95), CLOSED, "generator took 95% of a core", True),
        (run_of([(a, a + 0.02, b + 0.02, c) for a, _, b, c in FINE]), OPEN, "was sent 20.0 ms late or more", True),
        (run_of(FINE, waited=7), OPEN, "7 requests waited for one of the 4 connections", False),
        (run_of(FINE + [(105, 105, 106, TIMEOUT)] * 400), OPEN, "2.1% of the requests failed", False),
        (run_of(FINE[:50]), CLOSED, "With 50 answers p99.9 is left to chance", False),
        (run_of([*FINE, (104, 104, 110, UNFINISHED)]), CLOSED, "1 requests had no answer yet, one for 6.0 s", False),
        (run_of([*FINE, (109.99, 109.99, 110, UNFINISHED)]), CLOSED, None, False),
    ],
)
def test_it_says_what_to_distrust(run: Run, load: Load, warning: str | None, limited: bool):
    found = figures_of(run, load, None)
    assert found.limited_by_generator is limited
    if warning is None:
        assert not found.warnings
    else:
        assert any(warning in each for each in found.warnings), found.warnings


def test_nothing_at_all():
    found = figures_of(run_of([]), CLOSED, 100.0)
    assert (found.sent, found.latency_ms, found.in_time, found.curve) == (0, None, None, [])
    assert not math.isnan(found.throughput_per_s)
