"""Owns what a replica does at a steady load, found once by simulating it; does not know fleets or times of day.

Admission bounds what a replica holds to about a second of work, so a second after its load changed it does what it
does at that load for ever: that is why a fleet of any size can be simulated from this, second by second.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.capacity.latencies import counted
from app.capacity.replica import Replica
from app.capacity.times import ServiceTimes

Numbers = npt.NDArray[np.float64]
_LOADS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.15, 1.3, 1.6, 2, 3, 5)
_WARM_S: Final = 5.0
_IMAGES: Final = 6000
_LEAST_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class LoadTable:
    """Rows by load, images a second that arrive at one replica, ascending from 0.

    `answered` and `refused` are images a second, `busy` the share of lanes that run a batch, `wait_s` what admission
    expects; `latencies` (loads, bins) shares of the answers.
    """

    rates: Numbers
    answered: Numbers
    busy: Numbers
    wait_s: Numbers
    latencies: Numbers

    def at(self, rates: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Answered images a second, busy share and expected wait at those loads."""
        answered = np.interp(rates, self.rates, self.answered)
        return (
            np.minimum(answered, rates),
            np.interp(rates, self.rates, self.busy),
            np.interp(rates, self.rates, self.wait_s),
        )

    def latencies_at(self, rates: Numbers) -> Numbers:
        """Shares of the answers in each bin of latency, (loads, bins): mixed from the two loads next to each."""
        inside = np.clip(rates, self.rates[0], self.rates[-1])
        right = np.clip(np.searchsorted(self.rates, inside), 1, len(self.rates) - 1)
        part = ((inside - self.rates[right - 1]) / (self.rates[right] - self.rates[right - 1]))[:, None]
        mixed: Numbers = (1 - part) * self.latencies[right - 1] + part * self.latencies[right]
        return mixed

    def rate_where(self, metric: str, target: float) -> float:
        """The load at which `busy` or `wait` has that value; the highest below refusals, if it has not even there."""
        values = self.busy if metric == "busy" else self.wait_s
        return float(np.interp(target, np.maximum.accumulate(values), self.rates))


def tabulate(times: ServiceTimes, seed: int = 0) -> LoadTable:
    """Simulates one replica at loads from nothing to five times what it can do; some seconds of computing."""
    rates, rows = [0.0], []
    for number, load in enumerate(_LOADS):
        rate = load * times.images_per_s
        lasts_s = max(_IMAGES / rate, _LEAST_S)
        rows.append(_steady(times, rate, min(lasts_s, 40 * _LEAST_S), seed + number))
        rates.append(rate)
    answered, busy, wait_s, latencies = (np.array(each) for each in zip(*rows, strict=True))
    return LoadTable(
        np.array(rates),
        np.concatenate([[0.0], answered]),
        np.concatenate([[0.0], busy]),
        np.concatenate([[0.0], wait_s]),
        np.concatenate([latencies[:1], latencies]),
    )


def _steady(times: ServiceTimes, rate: float, lasts_s: float, seed: int) -> tuple[float, float, float, Numbers]:
    chance = np.random.default_rng(seed)
    replica, images = Replica(times, seed), chance.poisson(rate * (_WARM_S + lasts_s))
    arrivals = np.sort(chance.random(images)) * (_WARM_S + lasts_s)
    warm = int(np.searchsorted(arrivals, _WARM_S))
    replica.advance(_WARM_S, arrivals[:warm].tolist())
    replica.take()
    replica.advance(_WARM_S + lasts_s, arrivals[warm:].tolist())
    did = replica.take()
    counts = counted(did.latencies_s)
    # Of what arrived, so that chance in how many did does not make a quiet replica refuse.
    offered = max(len(did.latencies_s) + did.refused, 1)
    capacity = len(did.latencies_s) / offered
    answered = rate if not did.refused else rate * capacity
    return answered, did.busy_s / lasts_s / times.lanes, did.wait_s, counts / max(counts.sum(), 1)
