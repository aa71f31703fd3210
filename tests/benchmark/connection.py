"""Owns an HTTP/1.1 connection of a load generator, as little of it as is needed; does not decide what is sent when."""

import asyncio
from typing import Final, cast

HOST: Final = "127.0.0.1"


class Connection(asyncio.Protocol):
    """A keep-alive HTTP/1.1 connection that carries one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Raises OSError if nobody takes it."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        return connection

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and self._answer is None

    async def send(self, request: bytes) -> int:
        """The status of the answer. Raises ConnectionError if the connection breaks first."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        status = await self._answer
        self._answer = None  # only now: who gave up waiting must not use this connection again
        return status

    def close(self) -> None:
        """At once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods but not the base class

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol."""
        self._received += data
        if self._answer is None or (status := whole_answer(self._received)) is None:
            return
        self._received.clear()
        if not self._answer.done():
            self._answer.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio.Protocol."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed by the server"))


def whole_answer(received: bytes | bytearray) -> int | None:
    """The status, once the headers and as many bytes as Content-Length says have arrived."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    for line in bytes(received[:end]).split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(received[9:12]) if len(received) >= end + 4 + int(value) else None
    raise ValueError("an answer without Content-Length")
