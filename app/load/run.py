"""Owns one run of a load: warm-up, the measured window, the looks at the server before and after; does not judge."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.load.closed_loop import ClosedLoop
from app.load.fetch import fetch, get
from app.load.open_loop import OpenLoop, constant, poisson
from app.load.outcome import Rows
from app.load.server_side import ServerSide, counters_of, server_side
from app.load.target import Target

_RECOVERY_PAUSE_S: Final = 0.05
METRICS: Final = "/metrics"


@dataclass(frozen=True, slots=True)
class Load:
    """Without a `rate` a closed loop of `connections` clients, with it an open one of so many at once at most.

    `rate`: arrivals a second. `patience_s`: after which a client gives up. `warm_up_s` come before the `seconds` that
    count, under the same load. `recovery_s`: for which an overloaded server is watched afterwards.
    """

    seconds: float
    warm_up_s: float
    connections: int
    patience_s: float = 30.0
    rate: float | None = None
    arrivals: Literal["poisson", "constant"] = "poisson"
    seed: int = 0
    recovery_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Run:
    """What happened. Instants are monotonic seconds; what counts lies between `begin` and `end`.

    `cpu_share`: of one core, used by this process. `waited`: requests that waited since all connections were in use.
    `recovery_s`, of an open loop: from its end until a client alone was answered; None if that took too long.
    """

    rows: Rows
    begin: float
    end: float
    cpu_share: float
    waited: int
    recovery_s: float | None
    server: ServerSide


@dataclass(slots=True)
class _Look:
    """At the clocks and the server's counters."""

    at: float
    cpu_s: float
    counters: dict[str, float]


async def run_load(target: Target, requests: Sequence[bytes], load: Load, stop: asyncio.Event) -> Run:
    """Sends `requests` in turn. `stop` ends it early, with what was measured until then."""
    turn = itertools.cycle(requests)
    began = time.monotonic()
    begin = began + load.warm_up_s
    until = begin + load.seconds
    looks = asyncio.create_task(_looks(target, begin, until, stop))
    recovering: asyncio.Task[float | None] | None = None
    loop: ClosedLoop | OpenLoop
    if load.rate is None:
        loop = ClosedLoop(target, turn, load.connections, load.patience_s)
        await loop.run(until, stop)
    else:
        loop = OpenLoop(target, turn, load.connections, load.patience_s)
        recovering = asyncio.create_task(_recovery(target, requests[0], until, load))
        await loop.run(_arrivals(load, load.rate), began, until, stop)
    first, last = await looks
    recovery_s = None if recovering is None else await _unless(stop, recovering)
    return Run(
        rows=loop.record.rows(),
        begin=first.at,
        end=last.at,
        cpu_share=(last.cpu_s - first.cpu_s) / max(last.at - first.at, 1e-9),
        waited=loop.waited_for_a_connection if isinstance(loop, OpenLoop) else 0,
        recovery_s=recovery_s,
        server=server_side(loop.timings, first.counters, last.counters),
    )


def _arrivals(load: Load, rate: float) -> Iterator[float]:
    return poisson(rate, load.seed) if load.arrivals == "poisson" else constant(rate)


async def _looks(target: Target, begin: float, until: float, stop: asyncio.Event) -> list[_Look]:
    taken = []
    for instant in (begin, until):
        try:
            async with asyncio.timeout(max(instant - time.monotonic(), 0)):
                await stop.wait()
        except TimeoutError:
            pass
        look = _Look(min(instant, time.monotonic()), time.process_time(), {})
        if not stop.is_set():
            answer = await get(target, METRICS)
            look.counters = counters_of(answer.body) if answer.code == 200 else {}
        taken.append(look)
    return taken


async def _recovery(target: Target, request: bytes, after: float, load: Load) -> float | None:
    await asyncio.sleep(after - time.monotonic())
    while (left_s := after + load.recovery_s - time.monotonic()) > 0:
        answer = await fetch(target, request, min(load.patience_s, left_s))
        if 200 <= answer.code < 300:
            return time.monotonic() - after
        await asyncio.sleep(_RECOVERY_PAUSE_S)
    return None


async def _unless(stop: asyncio.Event, task: "asyncio.Task[float | None]") -> float | None:
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((stopping, task), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        return None
    return await task
