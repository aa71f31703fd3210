"""Owns fitting a replica's batches to what a server did under closed loops; does not load servers."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.capacity.replica import Replica
from app.capacity.times import Points, ServiceTimes

_ROUNDS: Final = 10
_WARM_S: Final = 2.0
_LASTS_S: Final = 12.0
_TICKS: Final = 12_000
_STEP: Final = (0.5, 2.0)
_RANGE: Final = (0.1, 10.0)


class Closed(NamedTuple):
    """So many clients that each send the next image once the last is answered; what came of it.

    `client_cores`: cores of this machine that the clients kept busy.
    """

    connections: int
    images_per_s: float
    client_cores: float = 0.0


def closed_rate(times: ServiceTimes, connections: int, client_cores: float = 0.0) -> float:
    """Images a second that the simulated replica answers to such clients on the machine that they share with it."""
    replica = Replica(times.model_copy(update={"cores": max(times.cores - client_cores, 0.1)}))
    tick_s, answered, counted_s = _LASTS_S / _TICKS, 0, _LASTS_S - _WARM_S
    replica.advance(0.0, [0.0] * connections)
    for tick in range(1, _TICKS + 1):
        now = tick * tick_s
        replica.advance(now)
        did = replica.take()
        done = len(did.latencies_s) + did.refused
        replica.advance(now, [now] * done)
        answered += len(did.latencies_s) if now > _WARM_S else 0
    return answered / counted_s


def fitted(times: ServiceTimes, runs: Sequence[Closed]) -> ServiceTimes:
    """`times` with a batch of one when alone, of one among others and of the most, scaled until the runs come out.

    Three runs, by ascending connections: one client; some, whose batches are small; so many that all batches are full.
    What parts measured on their own cannot tell, how cores, caches and locks are shared, is in there.
    """
    one, few, many = runs
    alone, small, full = 1.0, 1.0, 1.0
    for _ in range(_ROUNDS):
        trial = _scaled(times, alone, small, full)
        alone = _better(alone, trial, one)
        full = _better(full, _scaled(times, alone, small, full), many)
        small = _better(small, _scaled(times, alone, small, full), few)
    return _scaled(times, alone, small, full)


def _scaled(times: ServiceTimes, alone: float, small: float, full: float) -> ServiceTimes:
    """The factor of a batch among others goes from `small` for one image to `full` for the most."""
    most = max(times.max_batch_size - 1, 1)
    batch_s: Points = tuple((n, s * (small + (full - small) * (n - 1) / most)) for n, s in times.batch_s)
    alone_s: Points = tuple((n, s * (alone + (full - alone) * (n - 1) / most)) for n, s in times.alone_s)
    return times.model_copy(update={"batch_s": batch_s, "alone_s": alone_s})


def _better(factor: float, trial: ServiceTimes, run: Closed) -> float:
    said = closed_rate(trial, run.connections, run.client_cores)
    step = min(max(said / run.images_per_s, _STEP[0]), _STEP[1])
    return min(max(factor * step, _RANGE[0]), _RANGE[1])
