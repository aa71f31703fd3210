"""Owns the list of attacks and what each may lean on: where, how long, how to hammer; does not run the list."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tests.attack.report import Report
from tests.attack.wire import talk

GRACE_S: Final = 1.0  # after the end for answers that are under way


class Target(NamedTuple):
    """A listening server, how long to attack it, and a photograph that it answers with 200."""

    port: int
    seconds: float
    photograph: bytes
    grpc_port: int


Run = Callable[[Target, Report], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Attack:
    """One way to harm a server."""

    name: str
    run: Run
    needs: tuple[Callable[[], Any], ...]  # cached makers of what it sends, called before the clock starts
    descriptors: int | None  # the limit of the server that it is for, or None: the common one


ATTACKS: Final[dict[str, Attack]] = {}


def attack(name: str, *needs: Callable[[], Any], descriptors: int | None = None) -> Callable[[Run], Run]:
    """Enters the function into the list under this name."""

    def enter(run: Run) -> Run:
        assert name not in ATTACKS, name
        ATTACKS[name] = Attack(name, run, needs, descriptors)
        return run

    return enter


async def hammer(
    target: Target, report: Report, requests: Iterable[bytes], clients: int = 4, per_s: float | None = None
) -> None:
    """Sends the requests in turn and for the whole time, each on a connection of its own, by that many clients."""
    endless = itertools.cycle(list(requests))
    beat = _beat(target.seconds, per_s)
    try:
        async with asyncio.timeout(target.seconds + GRACE_S), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(target.seconds))  # though nothing more may be due
            for _ in range(clients):
                group.create_task(_client(target, report, endless, beat))
    except TimeoutError:
        report.fates["given up"] += clients


async def _client(target: Target, report: Report, requests: Iterator[bytes], beat: Iterator[float]) -> None:
    for due_at in beat:
        await asyncio.sleep(due_at - time.monotonic())
        report.heard(await talk(target.port, next(requests), patience_s=30), most=1)


def _beat(seconds: float, per_s: float | None) -> Iterator[float]:
    """The instants at which requests are due; they are shared among the clients."""
    started_at = time.monotonic()
    for number in itertools.count():
        due_at = started_at + number / per_s if per_s else time.monotonic()
        if max(due_at, time.monotonic()) > started_at + seconds:
            return
        yield due_at


async def together(runs: Iterable[Awaitable[object]], at_once: int) -> None:
    """Awaits all of them, that many at a time."""
    places = asyncio.Semaphore(at_once)

    async def one(run: Awaitable[object]) -> None:
        async with places:
            await run

    await asyncio.gather(*map(one, runs))
