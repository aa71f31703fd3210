"""Owns a server of connections with an application that echoes, for these tests to talk to; does not test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.api.connection.limits import ConnectionLimits
from app.api.connection.protocol import Connection
from app.api.connection.registry import Connections

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Counter:
    """The ConnectionObserver of these tests."""

    def __init__(self) -> None:
        self.refusals: list[int] = []
        self.closed: list[str] = []

    def refused(self, status: int, code: str, stage: str) -> None:
        self.refusals.append(status)

    def connection_closed(self, reason: str) -> None:
        self.closed.append(reason)


class Echo:
    """Answers with the body, or refuses it unread at /refuse; knows who left, and what it was asked."""

    def __init__(self) -> None:
        self.gone, self.left = 0, asyncio.Event()
        self.asked: list[bytes] = []
        self.answer = b""
        self.delay_s = 0.0
        self.counter = Counter()
        self.limits = ConnectionLimits()

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        body, more = b"", scope["path"] != "/refuse"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            body, more = body + message["body"], message["more_body"]
        self.asked.append(body)
        if self.delay_s and not await self._delay(receive):
            return
        answer = self.answer or body
        headers = [
            (b"content-length", b"%d" % len(answer)),
            (b"x-upgrade", dict(scope["headers"]).get(b"upgrade", b"")),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _delay(self, receive: Callable[[], Awaitable[Any]]) -> bool:
        """Whether the client is still there after the delay."""
        try:
            async with asyncio.timeout(self.delay_s):
                await receive()
        except TimeoutError:
            return True
        self.gone += 1
        self.left.set()
        return False


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


@asynccontextmanager
async def listening(app: Echo) -> AsyncIterator[Connect]:
    connections = Connections(app.limits.max_connections, app.counter)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(app, app.limits, connections), "127.0.0.1", 0
    )
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> Streams:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writers.append(writer)
        return reader, writer

    try:
        yield connect
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
        for _ in range(100):
            if not connections.open and not connections.tasks:
                break
            await asyncio.sleep(0.01)
        assert not connections.open and not connections.tasks, "something was left open"


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Connect]]:
    app = Echo()
    async with listening(app) as connect:
        yield app, connect


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next answer's head and body."""
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        return head, await reader.readexactly(length)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that came before the server ended the connection, by closing or by a reset."""
    received = b""
    async with asyncio.timeout(5):
        try:
            while chunk := await reader.read(65536):
                received += chunk
        except ConnectionError:
            pass
    return received
