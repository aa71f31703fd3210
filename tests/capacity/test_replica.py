"""Owns the tests of capacity/replica.py: queues of textbooks, and the service's own rules."""

import math
import random
from itertools import pairwise
from statistics import fmean

import pytest

from app.capacity.replica import Replica, Step
from app.capacity.times import ServiceTimes
from app.scheduling.policy import service_admission
from tests.capacity.service import queue, service


def poisson(rate: float, until: float, seed: int = 1) -> list[float]:
    chance, at, arrivals = random.Random(seed), 0.0, list[float]()
    while (at := at + chance.expovariate(rate)) < until:
        arrivals.append(at)
    return arrivals


def lived(times: ServiceTimes, arrivals: list[float], until: float) -> Step:
    replica = Replica(times)
    replica.advance(until, arrivals)
    return replica.take()


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_lane_without_batches_waits_as_m_d_1(load: float):
    service_s, until = 0.01, 400.0
    times = queue(lanes=1, max_batch_size=1, decode_threads=1024, decode_s=0, batch_s=[[1, service_s]], alone_s=[])
    did = lived(times, poisson(load / service_s, until), until)
    waited_s = fmean(did.latencies_s) - service_s
    assert waited_s == pytest.approx(load * service_s / (2 * (1 - load)), rel=0.06)  # Pollaczek and Khinchine
    assert did.busy_s / until == pytest.approx(load, rel=0.03)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.6), (3, 0.8)])
def test_decode_threads_wait_as_m_m_c(servers: int, load: float):
    mean_s, until, chance = 0.01, 300.0, random.Random(3)
    times = queue(
        lanes=64,
        max_batch_size=1,
        decode_threads=servers,
        decode_s=[chance.expovariate(1 / mean_s) for _ in range(4096)],
        batch_s=[[1, 0.0]],
        alone_s=[],
    )
    mean_s = fmean(Replica(times)._decode_s)
    rate = load * servers / mean_s
    did = lived(times, poisson(rate, until), until)
    erlangs = rate * mean_s
    tail = erlangs**servers / math.factorial(servers) / (1 - load)
    delayed = tail / (sum(erlangs**k / math.factorial(k) for k in range(servers)) + tail)  # Erlang's C
    expected_s = mean_s + delayed * mean_s / (servers * (1 - load))
    assert fmean(did.latencies_s) == pytest.approx(expected_s, rel=0.1)


def test_what_waits_is_the_batch_shared_between_idle_lanes():
    times = queue(lanes=1, max_batch_size=4, decode_s=0, batch_s=[[1, 1.0], [4, 1.6]], alone_s=[])
    did = lived(times, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], 10)
    # One alone until 1.0; then four of the five that wait, 1.6 s; then the last one.
    assert did.latencies_s == pytest.approx([1.0, 2.5, 2.4, 2.3, 2.2, 3.1])
    two = lived(times.model_copy(update={"lanes": 2}), [0.0, 0.0, 0.5, 0.5, 0.5, 0.5], 10)
    # The lanes take one each; the one that is free first takes all four that wait.
    assert two.latencies_s == pytest.approx([1.0, 1.0, 2.1, 2.1, 2.1, 2.1])


def test_threads_share_the_cores():
    alone = queue(cores=2, lanes=4, max_batch_size=1, decode_s=0, batch_s=[[1, 1.0]], alone_s=[])
    assert lived(alone, [0.0], 10).latencies_s == pytest.approx([1.0])
    assert lived(alone, [0.0] * 4, 10).latencies_s == pytest.approx([2.0] * 4)


def test_a_lane_that_is_alone_takes_all_cores():
    did = lived(queue(lanes=2, max_batch_size=1, decode_s=0, batch_s=[[1, 1.0]], alone_s=[[1, 0.5]]), [0.0, 0.1], 5)
    assert did.latencies_s == pytest.approx([0.5, 1.0])


def test_overload_refuses_the_rest_and_bounds_the_wait():
    times = service()
    peak = lived(times, poisson(1.05 * times.images_per_s, 60), 60)
    did = lived(times, poisson(2 * times.images_per_s, 60), 60)
    answered = len(did.latencies_s) / 60
    assert answered == pytest.approx(len(peak.latencies_s) / 60, rel=0.05)
    assert did.refused / (did.refused + len(did.latencies_s)) == pytest.approx(0.5, abs=0.04)
    assert max(did.latencies_s) < 1.6 * 0.5 + 0.2
    assert did.wait_s == pytest.approx(0.5, abs=0.05)


def test_what_is_always_admitted_is_admitted_however_slow():
    times = service(batch_s=[[1, 10.0], [8, 80.0]], alone_s=[], max_wait_ms=1)
    replica = Replica(times)
    replica.advance(1.0, [0.0])
    replica.advance(400.0, [])
    replica.take()  # the pace is known now
    replica.advance(401.0, [400.0] * 100)
    assert replica.in_flight == times.admission.always_admit == 32


def test_slots_bound_what_is_inside():
    replica = Replica(service(slots=10, max_images_per_request=1))
    replica.advance(0.0101, [i / 10_000 for i in range(100)])
    assert replica.in_flight <= 10


def test_in_parts_or_at_once_is_the_same():
    times, arrivals = service(), poisson(120, 20)
    parts, replica = list[float](), Replica(times)
    edges = [0.0, 3.3, 3.31, 9.0, 25.0]
    for begun, until in pairwise(edges):
        replica.advance(until, [at for at in arrivals if begun <= at < until])
        parts += replica.take().latencies_s
    assert parts == pytest.approx(lived(times, arrivals, 25.0).latencies_s)
    assert replica.empty and replica.in_flight == 0


def test_admission_is_set_up_as_the_service_does_it():
    assert service().admission == service_admission(0.5, 2, 8, 32)
    assert service().admission.burst_wait_s == pytest.approx(0.8)
