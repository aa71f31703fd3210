"""Owns the requests of our own load generator, one JSON line out; does not know what it loads.

Run as `-m tests.benchmark.generator`: a process of its own, so that its CPU time is counted apart from what
it measures.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from tests.benchmark.connection import HOST, Connection

_PATIENCE_S: Final = 30.0  # of a closed-loop client
_RECOVERY_LIMIT_S: Final = 15.0
_RECOVERY_PAUSE_S: Final = 0.05


class Outcomes:
    """How the requests ended: successes with their latencies, everything else counted by kind."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.others: Counter[str] = Counter()

    def add(self, status: int, latency_s: float) -> None:
        """One request was answered."""
        if status == 200:
            self.latencies_s.append(latency_s)
        else:
            self.others[str(status)] += 1

    def figures(self) -> dict[str, Any]:
        """Counts, and percentiles of the successes in milliseconds (null without any)."""
        refused = self.others.pop("503", 0)
        timeouts = self.others.pop("timeout", 0)
        return {
            "ok": len(self.latencies_s),
            "p50_ms": percentile_ms(self.latencies_s, 0.50),
            "p99_ms": percentile_ms(self.latencies_s, 0.99),
            "refused": refused,
            "timeouts": timeouts,
            "errors": sum(self.others.values()),
            "kinds_of_errors": dict(self.others),
        }


def percentile_ms(values_s: Sequence[float], share: float) -> float | None:
    """The value that `share` of all do not exceed."""
    if not values_s:
        return None
    return 1000 * sorted(values_s)[min(len(values_s) - 1, int(share * len(values_s)))]


async def closed_loop(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> dict[str, Any]:
    """Each connection sends its next request once the last is answered; what ends in time counts."""
    outcomes = Outcomes()
    started_at = time.monotonic()
    until = started_at + seconds

    async def client() -> None:
        connection = await Connection.open(port)
        while (sent_at := time.monotonic()) < until:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    status = await connection.send(next(requests))
            except (TimeoutError, OSError) as error:
                outcomes.others["timeout" if isinstance(error, TimeoutError) else "broken"] += 1
                connection.close()
                connection = await Connection.open(port)
                continue
            if (now := time.monotonic()) <= until:
                outcomes.add(status, now - sent_at)
        connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    figures = outcomes.figures()
    figures["errors"] += figures.pop("timeouts")
    return {"requests_per_s": figures["ok"] / seconds, **figures}


class OpenLoop:
    """Clients that arrive whether or not the server keeps up, and leave at their deadline.

    Latency counts from the scheduled arrival, so that neither a slow server nor a slow generator can hide it.
    """

    def __init__(self, port: int, requests: Iterator[bytes], deadline_s: float) -> None:
        self._port, self._requests, self._deadline_s = port, requests, deadline_s
        self._idle: list[Connection] = []
        self._outcomes = Outcomes()
        self._window = (0.0, 0.0)  # monotonic instants between which answers count as goodput
        self._in_window = 0

    async def run(self, rate: float, seconds: float, seed: int) -> dict[str, Any]:
        """Poisson arrivals at `rate` per second, then single requests until one is answered again.

        Goodput is what is answered in the `seconds` that follow a first deadline: until then the server's queue is
        still growing, and what it answers after the last arrival would flatter it.
        """
        chance, lags_s = random.Random(seed), []
        clients: set[asyncio.Task[None]] = set()
        started_at = time.monotonic()
        from_at = started_at + self._deadline_s
        self._window = (from_at, from_at + seconds)
        due_at, sent = started_at + chance.expovariate(rate), 0
        while due_at < self._window[1]:
            if (pause_s := due_at - time.monotonic()) > 0:
                await asyncio.sleep(pause_s)
            lags_s.append(time.monotonic() - due_at)
            task = asyncio.create_task(self._client(due_at))
            clients.add(task)
            task.add_done_callback(clients.discard)
            due_at += chance.expovariate(rate)
            sent += 1
        recovery_s = await self._recovery()
        await asyncio.gather(*clients)
        for connection in self._idle:
            connection.close()
        figures = self._outcomes.figures()
        return {
            "rate": rate,
            "sent": sent,
            "offered": sent / (self._window[1] - started_at),
            "goodput": self._in_window / seconds,
            **figures,
            "recovery_s": recovery_s,
            "lag_p99_ms": percentile_ms(lags_s, 0.99),
        }

    async def _client(self, due_at: float) -> None:
        try:
            status = await self._request(due_at + self._deadline_s)
        except TimeoutError:
            self._outcomes.others["timeout"] += 1
        except OSError as error:
            self._outcomes.others[type(error).__name__] += 1
        else:
            now = time.monotonic()
            self._outcomes.add(status, now - due_at)
            self._in_window += status == 200 and self._window[0] <= now <= self._window[1]

    async def _request(self, deadline_at: float) -> int:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(max(0.0, deadline_at - time.monotonic())):
                connection = self._take_idle() or await Connection.open(self._port)
                return await connection.send(next(self._requests))
        finally:
            if connection is not None:
                if connection.usable:
                    self._idle.append(connection)
                else:
                    connection.close()

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def _recovery(self) -> float | None:
        """Seconds from the last arrival until a client alone is answered in time again; None if that takes too long."""
        started_at = time.monotonic()
        while time.monotonic() - started_at < _RECOVERY_LIMIT_S:
            try:
                if await self._request(time.monotonic() + self._deadline_s) == 200:
                    return time.monotonic() - started_at
            except OSError:  # TimeoutError is one
                pass
            await asyncio.sleep(_RECOVERY_PAUSE_S)
        return None


def load_requests(port: int, path: str, folder: Path) -> Iterator[bytes]:
    """Whole HTTP requests with the folder's photographs in turn, for ever."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: image/jpeg\r\nContent-Length: "
    bodies = [file.read_bytes() for file in sorted(folder.glob("*.jpg"))]
    return itertools.cycle([f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies])


async def with_cpu_share(load: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """The figures of `load`, and the share of one core that this process needed meanwhile."""
    started_at, cpu_at = time.monotonic(), time.process_time()
    figures = await load
    return {**figures, "cpu_share": (time.process_time() - cpu_at) / (time.monotonic() - started_at)}


def main() -> None:
    """`closed` or `open` load on one path, as the flags say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("loop", choices=["closed", "open"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="arrivals per second")
    parser.add_argument("--deadline-s", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    requests = load_requests(args.port, args.path, args.folder)
    if args.loop == "closed":
        load = closed_loop(args.port, requests, args.connections, args.seconds)
    else:
        load = OpenLoop(args.port, requests, args.deadline_s).run(args.rate, args.seconds, args.seed)
    json.dump(uvloop.run(with_cpu_share(load)), sys.stdout)


if __name__ == "__main__":
    main()
