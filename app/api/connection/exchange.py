"""Owns one request and its answer as ASGI has them; does not parse, or decide when a connection ends."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from functools import lru_cache
from http.client import responses
from typing import Any, Final, Protocol

Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
STATUS_LINE_BEGINS: Final = b"HTTP/1.1 "
_MUCH_BODY_BYTES: Final = 64 * 1024  # held for an application that does not ask for it; then reading pauses
_BODYLESS: Final = (204, 304)

logger = logging.getLogger(__name__)


class Wire(Protocol):
    """What an exchange needs of its connection."""

    def write(self, data: bytes) -> None:
        """Sends, or keeps until the client reads."""
        ...

    async def writable(self) -> None:
        """Returns once the client has read enough of what was written, or has gone."""
        ...

    def pause_reading(self, paused: bool) -> None:
        """Whether the rest of the body should stay with the operating system for now."""
        ...

    def exchange_ends(self, keep_alive: bool) -> None:
        """The answer is written; unless `keep_alive` the connection should end."""
        ...


class Exchange:
    """One request on its way through the application."""

    def __init__(self, scope: dict[str, Any], wire: Wire, wants_continue: bool, keep_alive: bool) -> None:
        self._scope, self._wire, self._wants_continue = scope, wire, wants_continue
        self.keep_alive = keep_alive
        self._body, self._body_is_whole = bytearray(), False
        self._changed = asyncio.Event()
        self._gone = self._done = False
        self._head: bytes | None = None  # of the answer, until its body's first piece is there
        self._started = self._begun_early = self._chunked = False
        self._left_bytes: int | None = None  # of the answer's announced body

    @property
    def started(self) -> bool:
        """Whether some of the answer may have been written."""
        return self._started

    @property
    def body_is_whole(self) -> bool:
        """Whether all of the request has arrived."""
        return self._body_is_whole

    def body_arrives(self, piece: bytes) -> None:
        """A piece of the body; forgotten if the answer is out already."""
        if not self._done:
            self._body += piece
            if len(self._body) > _MUCH_BODY_BYTES:
                self._wire.pause_reading(True)
            self._changed.set()

    def body_ends(self) -> None:
        """The body is whole."""
        self._body_is_whole = True
        self._changed.set()

    def client_leaves(self) -> None:
        """Nobody will read the answer."""
        self._gone = True
        self._changed.set()

    def begin_answer_early(self) -> None:
        """Sends what every answer begins with, so that a client that has left gives itself away by a reset."""
        if not self._started and not self._begun_early:
            self._begun_early = True
            self._wire.write(STATUS_LINE_BEGINS)

    async def run(self, app: ASGIApp) -> None:
        """Has the application answer; if it does not, for a bug, the client gets 500 or the connection's end."""
        try:
            await app(self._scope, self.receive, self.send)
            if not self._done and not self._gone:
                raise RuntimeError("the application returned without an answer")
        except Exception:
            logger.exception("the application failed")
            if self._started:
                self._end(keep_alive=False)
            else:
                await self.send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
                await self.send({"type": "http.response.body"})
        except BaseException:  # cancelled, by the end of the process
            self._end(keep_alive=False)
            raise

    async def receive(self) -> Message:
        """ASGI: the next piece of the body, then, once the client has left or the answer is out, that it has."""
        if not self._gone and not self._done:
            if self._wants_continue and not self._started and not self._body_is_whole:
                self._wants_continue = False
                self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._wire.pause_reading(False)
            await self._changed.wait()
            self._changed.clear()
        if self._gone or self._done:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        return {"type": "http.request", "body": body, "more_body": not self._body_is_whole}

    async def send(self, message: Message) -> None:
        """ASGI: the head of the answer, which waits for the first piece of its body, then the body."""
        await self._wire.writable()
        if self._gone:
            return
        if message["type"] == "http.response.start":
            self._head = self._answer_head(message["status"], message.get("headers", ()))
            self._started = True
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        self._wire.write((self._head or b"") + self._framed(body, more))
        self._head = None
        if not more:
            if self._left_bytes:
                raise RuntimeError("the answer is shorter than its Content-Length")
            self._end(self.keep_alive)

    def _end(self, keep_alive: bool) -> None:
        if not self._done and not self._gone:
            self._done = True
            self._changed.set()
            self._wire.exchange_ends(keep_alive)

    def _answer_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        if self._wants_continue and not self._body_is_whole:
            self.keep_alive = False  # the client may now send its body or not, which nobody can tell from a request
        lines = [_status_line(status)[len(STATUS_LINE_BEGINS) if self._begun_early else 0 :], _date(int(time.time()))]
        length: int | None = None
        for name, value in headers:
            if b"\r" in value or b"\n" in value:
                raise RuntimeError(f"the answer's header {name!r} holds a line's end")
            lines.append(b"%s: %s\r\n" % (name, value))
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
        if self._scope["method"] == "HEAD" or status in _BODYLESS:
            self._left_bytes = 0
        elif length is not None:
            self._left_bytes = length
        elif self._scope["http_version"] == "1.1":
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive and (b"connection", b"close") not in headers:
            lines.append(b"connection: close\r\n")
        return b"".join(lines) + b"\r\n"

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self._scope["method"] == "HEAD":
            return b""
        if self._chunked:
            return (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        if self._left_bytes is not None:
            self._left_bytes -= len(body)
            if self._left_bytes < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
        return body


@lru_cache
def _status_line(status: int) -> bytes:
    return b"%s%d %s\r\n" % (STATUS_LINE_BEGINS, status, responses.get(status, "").encode())


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return b"date: %s\r\n" % formatdate(second, usegmt=True).encode()
