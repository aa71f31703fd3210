"""Owns the tests of what is read of the server's own figures."""

import pytest
from prometheus_client import CollectorRegistry

from app.load.server_side import counters_of, server_side
from app.load.timings import Timings
from app.telemetry.metrics import Metrics


def test_the_growth_of_vit_serves_own_counters():
    metrics = Metrics()
    assert isinstance(metrics.registry, CollectorRegistry)
    metrics.batch(8, 0.5)
    metrics.stage("decode", 100.0)
    before = counters_of(metrics.render()[0])
    for size in (1, 1, 3, 8):
        metrics.batch(size, 0.01)
    for seconds in (0.01, 0.03):
        metrics.stage("decode", seconds)
    metrics.job("result")
    found = server_side(Timings(), before, counters_of(metrics.render()[0]))
    assert found.stages_ms == {"decode": pytest.approx({"mean": 20.0})}
    assert found.mean_batch == 13 / 4
    assert found.batches == {"1": 2, "4": 1, "8": 1}
    assert found.cpu_ms_per_answer is not None and 0 <= found.cpu_ms_per_answer < 1000


def test_server_timing_of_whatever_server():
    timings = Timings()
    for number in range(1, 101):
        timings.add(b'decode;dur=%d, db;desc="a b";dur=0.5, miss, x;dur=1.2.3' % number)
    timings.add(b"")
    timings.add(b"a" * 60_000)
    found = server_side(timings, {}, {"vit_batch_size_count": 4.0, "vit_batch_size_sum": 9.0})
    assert found.stages_ms["decode"] == {"mean": 50.5, "p50": 50, "p90": 90, "p99": 99}
    assert found.stages_ms["db"]["p50"] == 0.5
    assert set(found.stages_ms) == {"decode", "db"}
    assert (found.mean_batch, found.batches, found.cpu_ms_per_answer) == (None, {}, None), "without a look before"


def test_of_many_answers_a_sample_is_kept():
    timings = Timings()
    for number in range(150_000):
        timings.add(b"x;dur=%d" % (number // 50_000))
    values = timings.stages_ms()["x"]
    assert len(values) == 100_000
    assert sum(values) / len(values) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("text", [b"", b"\xff\x00", b"vit_x nan\nvit_y 1e\n", b"<html>", b"nv_inference_count 3\n"])
def test_what_is_no_exposition_of_ours_tells_nothing(text: bytes):
    assert counters_of(text) == {}
