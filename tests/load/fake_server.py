"""Owns an HTTP server whose latency, stalls and faults are known; does not test."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvloop

BODY: Final = b'{"predictions": []}'
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Exchange:
    """One request, and how to answer it. `number` counts from 0 over all connections; so does `connection`."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter, number: int, connection: int) -> None:
        self.head, self.body, self.number, self.connection = head, body, number, connection
        self._writer = writer

    async def send(self, data: bytes = OK) -> None:
        self._writer.write(data)
        with suppress(ConnectionError):
            await self._writer.drain()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Behave = Callable[[Exchange], Awaitable[None]]


class FakeServer:
    """Answers GET with 404, unless `pages` has it, and hands everything else to `behave`."""

    def __init__(self, behave: Behave, pages: dict[str, list[bytes]] | None = None) -> None:
        self.requests = list[Exchange]()
        self.connections = 0
        self.port = 0
        self._behave, self._pages = behave, pages or {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection, self.connections = self.connections, self.connections + 1
        writer.transport.set_write_buffer_limits(0)  # so that `drain` waits until all is sent
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(v) for n, _, v in _lines(head) if n.lower() == b"content-length"), 0)
                body = await reader.readexactly(length)
                if head.startswith(b"GET "):
                    await self._get(head.split()[1].decode(), writer)
                    continue
                exchange = Exchange(head, body, writer, len(self.requests), connection)
                self.requests.append(exchange)
                await self._behave(exchange)
        writer.transport.abort()

    async def _get(self, path: str, writer: asyncio.StreamWriter) -> None:
        pages = self._pages.get(path)
        if not pages:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        page = pages.pop(0) if len(pages) > 1 else pages[0]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))


def _lines(head: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    return (line.partition(b":") for line in head.split(b"\r\n")[1:])


async def at_once(exchange: Exchange) -> None:
    await exchange.send()


def after(seconds: float) -> Behave:
    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await exchange.send()

    return behave


async def never(exchange: Exchange) -> None:
    await asyncio.sleep(3600)


def raw(data: bytes, close: bool = False) -> Behave:
    """Those bytes for every request."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(data)
        if close:
            exchange.close()

    return behave


@contextmanager
def fake_server(
    behave: Behave = at_once,
    pages: dict[str, list[bytes]] | None = None,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> Iterator[FakeServer]:
    """On a free port, in a thread of its own."""
    server, ready = FakeServer(behave, pages), threading.Event()
    loop = uvloop.new_event_loop() if tls else asyncio.new_event_loop()  # asyncio's leaves half-made handshakes open

    async def serve() -> None:
        listening = await asyncio.start_server(server.handle, host, 0, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        listening.close()
        await asyncio.sleep(0.05)  # for what has just been accepted
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=0.2)  # one that is cancelled before it has begun closes nothing
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # for the transports to end

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
