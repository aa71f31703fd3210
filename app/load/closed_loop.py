"""Owns clients that each send their next request once the last is answered; does not judge what comes of it."""

import asyncio
import time
from collections.abc import Iterator

from app.load.connection import Connection
from app.load.outcome import CONNECT, UNFINISHED, Record
from app.load.target import Target
from app.load.timings import Timings

_PAUSE_S = 0.05  # after a connection that could not be had


class ClosedLoop:
    """`connections` clients at once. A server that stalls stalls them too: what they did not send is not measured."""

    def __init__(self, target: Target, requests: Iterator[bytes], connections: int, patience_s: float) -> None:
        self._target, self._requests, self._patience_s = target, requests, patience_s
        self._connections = connections
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False
        self.record, self.timings = Record(), Timings()

    async def run(self, until: float, stop: asyncio.Event) -> None:
        """Until the monotonic instant `until`, or `stop`; what is under way then is recorded as unfinished."""
        for _ in range(self._connections):
            self._start()
        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0)):
                await stop.wait()
        except TimeoutError:
            pass
        self._over, now = True, time.monotonic()
        for task in self._tasks:
            task.cancel()
        for connection in self._open:
            self.record.add(connection.intended, connection.sent, now, UNFINISHED)
            connection.close()

    def _start(self) -> None:
        task = asyncio.create_task(self._client())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _client(self) -> None:
        while True:
            begun_at = time.monotonic()
            try:
                connection = await self._target.connect(lambda: Connection(self._ended))
            except OSError:
                now = time.monotonic()
                self.record.add(begun_at, now, now, CONNECT)
                await asyncio.sleep(_PAUSE_S)
                continue
            if connection.usable:
                self._open.add(connection)
                self._send(connection, begun_at, time.monotonic())
                return

    def _send(self, connection: Connection, intended: float, now: float) -> None:
        connection.intended, connection.sent = intended, now
        connection.send(next(self._requests), self._patience_s)

    def _ended(self, connection: Connection, code: int) -> None:
        now = time.monotonic()
        self.record.add(connection.intended, connection.sent, now, code)
        self.timings.add(connection.server_timing)
        if connection.usable:
            self._send(connection, now, now)
            return
        self._open.discard(connection)
        if not self._over:
            self._start()
