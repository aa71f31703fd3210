"""Owns the tests of the simulated fleet: fleet.py, load.py, simulate.py, result.py and plan.py together."""

from functools import cache

import numpy as np
import pytest

from app.capacity.arrivals import Arrivals, diurnal, steady
from app.capacity.fleet import Fleet, PodTimes
from app.capacity.latencies import counted, quantile_s
from app.capacity.load import LoadTable, tabulate
from app.capacity.plan import Scaling, plan_of
from app.capacity.result import Price, rows, total
from app.capacity.simulate import Day, Plan, simulate
from tests.capacity.service import service


@cache
def table() -> LoadTable:
    return tabulate(service())


def fixed(replicas: int) -> Plan:
    return Plan(service(), table(), PodTimes(), replicas)


def scaled(arrivals: Arrivals, kind: str = "hpa", least: int | None = None, **targets: float) -> Plan:
    scaling = Scaling(kind, None, least, 100_000_000, targets, None)
    return plan_of(service(), scaling, arrivals, schedule_s=20, drain_s=30, seed=0)


def test_quantiles_lie_within_three_percent():
    latencies = np.random.default_rng(0).exponential(0.05, 20_000)
    counts = counted(latencies.tolist())
    for share in (0.01, 0.5, 0.99):
        assert quantile_s(counts, share) == pytest.approx(np.quantile(latencies, share), rel=0.03)
    assert quantile_s(np.zeros_like(counts), 0.5) is None


def test_pods_become_pending_started_ready_and_seen():
    fleet = Fleet(PodTimes(schedule_s=10, start_s=5, metric_s=30, drain_s=20), 2)
    fleet.scale(5, 100)
    assert [fleet.ready(at) for at in (100, 114, 115)] == [2, 2, 5]
    assert [fleet.pending(at) for at in (100, 109, 110)] == [3, 3, 0]
    assert [fleet.measured(at) for at in (144, 145)] == [2, 5]
    fleet.scale(1, 200)
    assert (fleet.replicas, fleet.ready(200), fleet.paid(200), fleet.paid(219), fleet.paid(220)) == (1, 1, 5, 5, 1)


def test_the_youngest_go_first_and_those_not_yet_placed_cost_nothing():
    fleet = Fleet(PodTimes(schedule_s=10, start_s=5), 2)
    fleet.scale(4, 0)
    fleet.scale(3, 1)
    assert (fleet.ready(2), fleet.paid(2)) == (2, 3)


@pytest.mark.parametrize("load", [0.4, 0.8, 1.4])
def test_second_by_second_comes_out_as_image_by_image(load: float):
    arrivals = steady(3 * load * service().images_per_s, 120)
    fluid, exact = (total(simulate(fixed(3), arrivals, exact=each), Price(1, 2)) for each in (False, True))
    assert fluid.answered == pytest.approx(exact.answered, rel=0.04)
    assert fluid.refused_share == pytest.approx(exact.refused_share, abs=0.03)
    assert fluid.p50_ms == pytest.approx(exact.p50_ms, rel=0.12)
    assert fluid.busy_most == pytest.approx(exact.busy_most, abs=0.2)


def test_every_image_is_answered_or_refused():
    day = simulate(fixed(2), steady(400, 60), exact=True)
    offered = day.offered.sum()
    assert day.answered.sum() + day.refused.sum() == pytest.approx(offered)
    assert day.latencies.sum() == pytest.approx(day.answered.sum() * day.step_s)


def test_without_a_ready_replica_everything_is_refused():
    for exact in (False, True):
        day = simulate(Plan(service(), table(), PodTimes(), 0), steady(10, 5), exact=exact)
        assert day.answered.sum() == 0
        assert day.refused.sum() == pytest.approx(day.offered.sum())


def test_cost_is_of_cores_by_the_hour_and_of_answers():
    summary = total(simulate(fixed(3), steady(100, 3600), exact=False), Price(core_hour=0.05, cores=2))
    assert summary.core_hours == pytest.approx(6)
    assert summary.cost == pytest.approx(0.3)
    assert summary.cost_per_million == pytest.approx(0.3 / 0.36, rel=0.01)


def settled(day: Day) -> float:
    return float(day.busy[-600:].mean())


@pytest.mark.parametrize("rate", [10_000_000.0])
def test_a_day_at_any_rate_keeps_to_its_target(rate: float):
    arrivals = diurnal(rate, 86_400, 0.6)
    day = simulate(scaled(arrivals, busy=0.6), arrivals, exact=False)
    summary = total(day, Price(0.04, 2))
    assert summary.refused_share < 0.002
    assert day.busy.mean() == pytest.approx(0.58, abs=0.06)
    assert summary.replicas_most / summary.replicas_least == pytest.approx(4, rel=0.25)  # of 1.6 and 0.4 times the rate


def test_a_sudden_load_is_refused_until_pods_have_started():
    """Ten times the load at 300 s: the HPA sees it at the next scrape and sync, and pods take 25 s."""
    rates = np.concatenate([np.full(300, 200.0), np.full(900, 2000.0)])
    arrivals = Arrivals(1.0, rates)
    day = simulate(scaled(arrivals, busy=0.6), arrivals, exact=False)
    short = np.flatnonzero(day.refused > 0.01 * rates)
    assert 300 <= short[0] <= 302
    assert 30 < total(day, Price(1, 2)).longest_shortage_s < 240
    assert settled(day) < 0.75


def test_keda_wakes_it_from_nothing_and_lets_it_rest():
    rates = np.concatenate([np.zeros(60), np.full(600, 50.0), np.zeros(900)])
    arrivals = Arrivals(1.0, rates)
    day = simulate(scaled(arrivals, "keda", busy=0.6), arrivals, exact=False)
    assert day.replicas[:60].max() == 0
    woken = int(np.flatnonzero(day.replicas)[0])
    assert 60 < woken <= 91  # by the poll after the first arrivals
    assert day.refused[60:woken].sum() == 50 * (woken - 60)
    assert day.ready[woken + 24] == 0 and day.ready[woken + 25] == 1  # 20 s to be placed, 5 s to start
    last = int(np.flatnonzero(day.replicas)[-1])
    assert 660 + 300 < last < 660 + 300 + 61


def test_recorded_instants_are_what_arrives():
    instants = np.sort(np.random.default_rng(5).random(500)) * 20
    counts = np.bincount(instants.astype(int), minlength=20).astype(float)
    day = simulate(fixed(1), Arrivals(1.0, counts, instants), exact=True)
    assert day.offered.tolist() == counts.tolist()
    assert day.answered.sum() + day.refused.sum() == 500


def test_rows_add_up_to_the_day():
    day = simulate(fixed(2), diurnal(100, 7200, 0.5), exact=False)
    parts = rows(day)
    assert len(parts) <= 24
    assert parts[0].second == 0
    assert np.mean([part.offered_per_s for part in parts]) == pytest.approx(day.offered.mean(), rel=0.02)
