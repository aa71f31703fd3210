"""Owns one request whose answer is read, apart from the load: to see that the server answers; does not measure."""

import asyncio
from typing import NamedTuple

from app.load.connection import Connection
from app.load.outcome import CONNECT, ERRORS
from app.load.target import Target

_KEPT_BYTES = 4 * 1024 * 1024


class Answer(NamedTuple):
    """`code`: the status, or an error's of `outcome`."""

    code: int
    body: bytes

    def __str__(self) -> str:
        """For people, in a line."""
        start = " ".join(self.body[:200].decode(errors="replace").split())
        return f"{self.code}: {start}" if self.code > 0 else f"no answer ({ERRORS[self.code]})"


class _Reading(Connection):
    def __init__(self) -> None:
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.body = bytearray()
        super().__init__(self._told)

    def _told(self, _: Connection, code: int) -> None:
        if not self.answer.done():
            self.answer.set_result(code)

    def on_body(self, piece: bytes) -> None:
        """httptools."""
        if len(self.body) < _KEPT_BYTES:
            self.body += piece


async def fetch(target: Target, request: bytes, patience_s: float) -> Answer:
    """Sends a whole request on a connection of its own; raises nothing."""
    try:
        connection = await target.connect(_Reading)
    except OSError:
        return Answer(CONNECT, b"")
    try:
        connection.send(request, patience_s)
        code = await connection.answer
        return Answer(code, bytes(connection.body))
    finally:
        connection.close()


async def get(target: Target, path: str, patience_s: float = 5.0) -> Answer:
    """`path` of the same server."""
    return await fetch(target, target.head("GET", path) + b"\r\n", patience_s)
