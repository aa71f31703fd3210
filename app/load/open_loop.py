"""Owns requests that are sent at their instants, whether or not the server keeps up; does not judge what comes of it.

Latency counts from those instants, so that neither a server that stalls nor a generator that is late can hide it.
"""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Iterator

from app.load.connection import Connection
from app.load.outcome import CONNECT, TIMEOUT, UNFINISHED, Record
from app.load.target import Target
from app.load.timings import Timings

_POLL_S = 0.1  # for the end of the run


def poisson(rate: float, seed: int) -> Iterator[float]:
    """Instants in seconds, for ever, of arrivals that know nothing of each other."""
    chance, at = random.Random(seed), 0.0
    while True:
        at += chance.expovariate(rate)
        yield at


def constant(rate: float) -> Iterator[float]:
    """Instants in seconds, for ever, that are equally far apart."""
    number = 0
    while True:
        yield number / rate
        number += 1


class OpenLoop:
    """Takes the first free connection, or a new one while there are fewer than `most`; else the request waits.

    A client leaves `patience_s` after its request's instant, and closes its connection if it has one.
    """

    def __init__(self, target: Target, requests: Iterator[bytes], most: int, patience_s: float) -> None:
        self._target, self._requests, self._most, self._patience_s = target, requests, most, patience_s
        self._loop = asyncio.get_running_loop()
        self._due, self._waiting = deque[float](), deque[float]()
        self._idle, self._busy = list[Connection](), set[Connection]()
        self._opening: set[asyncio.Task[None]] = set()
        self._over, self._settled = False, asyncio.Event()
        self.record, self.timings = Record(), Timings()
        self.waited_for_a_connection = 0  # requests, since `most` were open

    async def run(self, arrivals: Iterator[float], begin: float, until: float, stop: asyncio.Event) -> None:
        """Sends at `begin` plus each of `arrivals` until the monotonic instant `until`, then waits for the answers.

        Ends at once when `stop` is set; what is under way then is recorded as unfinished.
        """
        ended = asyncio.Event()
        clock = threading.Thread(target=self._watch, args=(arrivals, begin, until, ended), daemon=True)
        clock.start()
        stopping = asyncio.ensure_future(stop.wait())
        for each in (ended, self._settled):
            waiting = asyncio.ensure_future(each.wait())
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if each is ended:
                self._over = True
                self._settle()
        stopping.cancel()
        self._finish()

    def _watch(self, arrivals: Iterator[float], begin: float, until: float, ended: asyncio.Event) -> None:
        """In a thread of its own: the event loop's timers are a millisecond wide, as much as a fast answer takes."""
        for arrival in arrivals:
            at = begin + arrival
            while (pause_s := min(at, until) - time.monotonic()) > 0 and not self._over:
                time.sleep(min(pause_s, _POLL_S))
            if at >= until or self._over:
                break
            self._due.append(at)
            if len(self._due) == 1:  # else it has been called, and will find this one too
                self._loop.call_soon_threadsafe(self._take)
        if not self._over:
            self._loop.call_soon_threadsafe(ended.set)

    def _take(self) -> None:
        while self._due:
            at = self._due.popleft()
            while self._idle and not self._idle[-1].usable:  # closed by the server meanwhile
                self._idle.pop()
            if self._over:
                continue
            if self._idle:
                self._send(self._idle.pop(), at)
                continue
            self._waiting.append(at)
            self._open_more()
            self.waited_for_a_connection += len(self._opening) < len(self._waiting)

    def _open_more(self) -> None:
        """One for each request that waits, as far as there may be more."""
        while len(self._opening) < len(self._waiting) and len(self._busy) + len(self._opening) < self._most:
            task = asyncio.create_task(self._client())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: "asyncio.Task[None]") -> None:
        self._opening.discard(task)
        self._open_more()
        self._settle()

    async def _client(self) -> None:
        try:
            connection = await self._target.connect(lambda: Connection(self._ended))
        except OSError:
            if self._waiting:
                now = time.monotonic()
                self.record.add(self._waiting.popleft(), now, now, CONNECT)
            return
        self._next(connection)

    def _send(self, connection: Connection, at: float) -> None:
        now = time.monotonic()
        connection.intended, connection.sent = at, now
        self._busy.add(connection)
        connection.send(next(self._requests), at + self._patience_s - now)

    def _ended(self, connection: Connection, code: int) -> None:
        self.record.add(connection.intended, connection.sent, time.monotonic(), code)
        self.timings.add(connection.server_timing)
        self._busy.discard(connection)
        self._next(connection)
        self._settle()

    def _next(self, connection: Connection) -> None:
        """The connection is free, or of no more use."""
        now = time.monotonic()
        while self._waiting and self._waiting[0] + self._patience_s <= now:
            self.record.add(self._waiting.popleft(), now, now, TIMEOUT)
        if not connection.usable:
            self._open_more()
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _settle(self) -> None:
        if self._over and not (self._busy or self._waiting or self._opening):
            self._settled.set()

    def _finish(self) -> None:
        now = time.monotonic()
        for connection in self._busy:
            self.record.add(connection.intended, connection.sent, now, UNFINISHED)
        for at in self._waiting:
            self.record.add(at, now, now, UNFINISHED)
        for task in self._opening:
            task.cancel()
        for connection in (*self._busy, *self._idle):
            connection.close()
