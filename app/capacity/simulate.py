"""Owns a fleet's day: arrivals in, what became of them second by second out; does not print or price it."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from app.capacity.arrivals import Arrivals
from app.capacity.fleet import Fleet, PodTimes
from app.capacity.hpa import Observed
from app.capacity.latencies import BINS, Counts, counted
from app.capacity.load import LoadTable
from app.capacity.replica import Replica
from app.capacity.times import ServiceTimes

Numbers = npt.NDArray[np.float64]
SCRAPE_S: Final = 15.0
_WINDOW_S: Final = 60.0  # of rate()
_CHUNK: Final = 4096
BUSY: Final = "busy"
WAIT: Final = "wait"


class Scaler(Protocol):
    """Whatever says how many replicas there should be."""

    def tick(self, now: float, observed: Observed) -> int:
        """Replicas from now on."""
        ...


@dataclass(slots=True)
class Day:
    """One entry a step. `latencies` are counts of answers in bins, (steps, bins) in groups of `group` steps."""

    step_s: float
    offered: Numbers  # images a second
    answered: Numbers
    refused: Numbers
    busy: Numbers
    wait_s: Numbers
    ready: npt.NDArray[np.int64]
    replicas: npt.NDArray[np.int64]
    paid: npt.NDArray[np.int64]
    exact: bool
    group: int
    latencies: Counts = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated: one replica's times, its table, its pods' times, how many there are at first, who scales."""

    times: ServiceTimes
    table: LoadTable
    pods: PodTimes
    initial: int
    scaler: Scaler | None = None
    seed: int = 0


def simulate(plan: Plan, arrivals: Arrivals, *, exact: bool, groups: int = 96) -> Day:
    """Requests go to a ready replica by chance, as kube-proxy sends them; without one they are refused.

    `exact`: every image on its own, in replicas that are simulated event by event; otherwise each replica does in each
    step what it does at that load for ever.
    """
    steps = len(arrivals.rates)
    fleet, sight = Fleet(plan.pods, plan.initial), _Sight(arrivals.step_s)
    group = -(-steps // groups)
    day = _empty(arrivals, exact, group)
    replicas = _Replicas(plan, arrivals, day) if exact else None
    if plan.initial:  # what the autoscaler sees first is what it would have seen before
        [_], [busy], [wait_s] = plan.table.at(arrivals.rates[:1] / plan.initial)
        sight.saw(-arrivals.step_s, float(busy), float(wait_s))
    for step in range(steps):
        now = step * arrivals.step_s
        if plan.scaler is not None:
            seen = sight.observed(now, fleet, float(arrivals.rates[max(step - 1, 0)]))
            if (wants := plan.scaler.tick(now, seen)) != fleet.replicas:
                fleet.scale(wants, now)
        day.ready[step], day.replicas[step], day.paid[step] = fleet.ready(now), fleet.replicas, fleet.paid(now)
        if replicas is not None:
            replicas.step(step, int(day.ready[step]))
        else:
            _steady_step(plan.table, day, step)
        sight.saw(now, float(day.busy[step]), float(day.wait_s[step]))
    if replicas is None:
        _add_latencies(plan.table, day)
    else:
        replicas.finish()
    return day


class _Sight:
    """What metrics tell the autoscaler: of the last scrape, busy seconds as a rate over a minute."""

    def __init__(self, step_s: float) -> None:
        self._scraped_at = -math.inf
        self._busy: deque[float] = deque(maxlen=max(round(_WINDOW_S / step_s), 1))
        self._values = {BUSY: 0.0, WAIT: 0.0}

    def saw(self, now: float, busy: float, wait_s: float) -> None:
        """What the replicas did in a step."""
        self._busy.append(busy)
        if now - self._scraped_at >= SCRAPE_S:
            self._scraped_at = now
            self._values = {BUSY: sum(self._busy) / len(self._busy), WAIT: wait_s}

    def observed(self, now: float, fleet: Fleet, arrivals_per_s: float) -> Observed:
        """What the autoscaler is told."""
        replicas, measured, pending = fleet.replicas, fleet.measured(now), fleet.pending(now)
        return Observed(replicas, measured, replicas - measured - pending, pending, self._values, arrivals_per_s)


def _empty(arrivals: Arrivals, exact: bool, group: int) -> Day:
    steps = len(arrivals.rates)
    return Day(
        step_s=arrivals.step_s,
        offered=arrivals.rates.copy(),
        answered=np.zeros(steps),
        refused=np.zeros(steps),
        busy=np.zeros(steps),
        wait_s=np.zeros(steps),
        ready=np.zeros(steps, np.int64),
        replicas=np.zeros(steps, np.int64),
        paid=np.zeros(steps, np.int64),
        exact=exact,
        group=group,
        latencies=np.zeros((-(-steps // group), BINS)),
    )


def _steady_step(table: LoadTable, day: Day, step: int) -> None:
    ready, offered = int(day.ready[step]), float(day.offered[step])
    if not ready:
        day.refused[step] = offered
        return
    [answered], [busy], [wait_s] = table.at(np.array([offered / ready]))
    day.answered[step], day.busy[step], day.wait_s[step] = answered * ready, busy, wait_s
    day.refused[step] = max(offered - day.answered[step], 0.0)


def _add_latencies(table: LoadTable, day: Day) -> None:
    for first in range(0, len(day.offered), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        shares = table.latencies_at(day.offered[chunk] / np.maximum(day.ready[chunk], 1))
        counts = shares * (day.answered[chunk] * day.step_s)[:, None]
        np.add.at(day.latencies, np.arange(first, first + len(counts)) // day.group, counts)


class _Replicas:
    """Every ready replica, event by event. Those that are told to go finish what they have."""

    def __init__(self, plan: Plan, arrivals: Arrivals, day: Day) -> None:
        self._plan, self._arrivals, self._day = plan, arrivals, day
        self._chance = np.random.default_rng(plan.seed)
        self._ready: list[Replica] = []
        self._ending: list[Replica] = []
        self._made = 0

    def step(self, step: int, ready: int) -> None:
        """Lives through one step with so many ready replicas."""
        begun, until = step * self._arrivals.step_s, (step + 1) * self._arrivals.step_s
        while len(self._ready) < ready:
            self._made += 1
            self._ready.append(Replica(self._plan.times, self._plan.seed + self._made, begun))
        while len(self._ready) > ready:
            self._ending.append(self._ready.pop())
        instants = self._arrivals.instants_of(step, self._chance)
        if ready:
            to = self._chance.integers(0, ready, len(instants))
            for number, replica in enumerate(self._ready):
                replica.advance(until, instants[to == number].tolist())
        else:
            self._day.refused[step] += len(instants) / self._arrivals.step_s
        for replica in self._ending:
            replica.advance(until)
        self._day.offered[step] = len(instants) / self._arrivals.step_s
        self._count(step)
        self._ending = [replica for replica in self._ending if not replica.empty]

    def finish(self) -> None:
        """What is still inside after the last arrival is answered, and counts in the last step."""
        for replica in [*self._ready, *self._ending]:
            replica.advance(len(self._arrivals.rates) * self._arrivals.step_s + 3600)
        last = len(self._arrivals.rates) - 1
        busy, wait_s = self._day.busy[last], self._day.wait_s[last]
        self._count(last)
        self._day.busy[last], self._day.wait_s[last] = busy, wait_s

    def _count(self, step: int) -> None:
        day, step_s = self._day, self._arrivals.step_s
        done = [replica.take() for replica in [*self._ready, *self._ending]]
        latencies = [latency for each in done for latency in each.latencies_s]
        day.answered[step] += len(latencies) / step_s
        day.refused[step] += sum(each.refused for each in done) / step_s
        if latencies:
            day.latencies[step // day.group] += counted(latencies)
        if ready := len(self._ready):
            day.busy[step] = sum(each.busy_s for each in done[:ready]) / ready / self._plan.times.lanes / step_s
            day.wait_s[step] = _mean([each.wait_s for each in done[:ready]])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
