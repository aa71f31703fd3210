import json
import time
from typing import Any

import pytest

from app.telemetry.live import Live
from app.telemetry.metrics import Metrics


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.watch("vit_queue_depth", "", lambda: 3)
    metrics.request("/v1/classify", 200, 9.0)  # before anybody looked
    return metrics


def looked(live: Live) -> dict[str, Any]:
    live.look()
    document: dict[str, Any] = json.loads(live.document)
    return document


def test_the_first_look_knows_what_is_and_not_what_was(metrics: Metrics, clock: Clock) -> None:
    first = looked(Live(metrics.registry, clock))
    assert first["queue_depth"] == 3 and first["requests_per_s"] is None and first["p99_ms"] is None


def test_the_next_one_tells_what_happened_between(metrics: Metrics, clock: Clock) -> None:
    live = Live(metrics.registry, clock)
    live.look()
    for _ in range(90):
        metrics.request("/v1/classify", 200, 0.005)
    for _ in range(10):
        metrics.request("/v1/classify", 200, 0.2)
    for status in (400, 503, 503, 500):
        metrics.request("/v1/classify", status, 5.0)
    metrics.request("/livez", 200, 1.0, timed=False)  # not one of those that are timed
    metrics.batch(1, 0.01)
    metrics.batch(7, 0.01)
    clock.now += 2
    told = looked(live)
    assert (told["window_s"], told["requests_per_s"], told["images_per_s"]) == (2, 52, 4)
    assert [told[outcome] for outcome in ("answered", "rejected", "refused", "failed")] == [100, 1, 2, 1]
    assert 4 <= told["p50_ms"] <= 6.5 and 150 <= told["p99_ms"] <= 250
    assert [each for each in told["batches"] if each[1]] == [[1, 1], [8, 1]] and told["batches"][-1] == [None, 0]


def test_what_was_long_ago_is_forgotten(metrics: Metrics, clock: Clock) -> None:
    live = Live(metrics.registry, clock)
    live.look()
    metrics.request("/v1/classify", 200, 0.005)
    for _ in range(7):
        clock.now += 1
        told = looked(live)
    assert told["answered"] == 0 and told["window_s"] < 6.1
    assert told["p50_ms"] is None
    clock.now += 60
    assert looked(live)["requests_per_s"] is None, "an average over a minute in which nobody looked is no rate"


def test_however_many_look_it_is_read_once_a_second(metrics: Metrics, clock: Clock) -> None:
    live = Live(metrics.registry, clock)
    assert [live.due() for _ in range(5)] == [True, False, False, False, False]
    clock.now += 1
    assert [live.due() for _ in range(2)] == [True, False]


def test_a_look_costs_next_to_nothing() -> None:
    metrics = Metrics()
    for code in (200, 400, 503, 500):
        metrics.request("/v1/classify", code, 0.005)
    live = Live(metrics.registry)
    started_at = time.process_time()
    for _ in range(20):
        live.look()
    assert (time.process_time() - started_at) / 20 < 0.005
