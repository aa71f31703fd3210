"""Owns one HTTP/1.1 connection of the load generator; does not decide what is sent when.

On asyncio.Protocol and llhttp, the parser that the server has too: the clients of libraries take longer for a request
than the server does, and would measure themselves.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

import httptools

from app.load.outcome import CLOSED, MALFORMED, RESET, TIMEOUT, TOO_LARGE

_HEAD_BYTES: Final = 64 * 1024
_BODY_BYTES: Final = 16 * 1024 * 1024
_FINAL_STATUS: Final = 200  # below it more is to come
_LENGTHS: Final = (b"content-length", b"transfer-encoding")
Ended = Callable[["Connection", int], None]


class Connection(asyncio.Protocol):
    """Carries one request at a time; calls `ended` with itself and the status, or an error of `outcome`, after each.

    `server_timing` is that header of the last answer.
    """

    def __init__(self, ended: Ended) -> None:
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None  # there is one while a request is under way
        self._received_bytes, self._status = 0, 0
        self._in_body = self._keep = False
        self._framed = False  # by a length or chunks; else the body lasts until the connection's end
        self.server_timing = b""
        self.intended = self.sent = 0.0  # of the request under way; for the loops

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and self._timer is None

    def send(self, request: bytes, patience_s: float) -> None:
        """Begins a request; `usable` must hold."""
        assert self._transport is not None
        self._received_bytes = self._status = 0
        self._in_body = self._framed = False
        self.server_timing = b""
        self._timer = self._loop.call_later(max(patience_s, 0.0), self._end, TIMEOUT, False)
        self._transport.write(request)

    def close(self) -> None:
        """At once; what is under way is told to nobody."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _end(self, code: int, keep: bool) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self._timer = None
        if not keep:
            self.close()
        self._ended(self, code)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods but not the base class

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol."""
        if self._timer is None:  # nobody asked: of such a connection nothing can be trusted
            self.close()
            return
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end(MALFORMED, False)
            return
        if self._status:
            self._end(self._status, self._status > 0 and self._keep)
        elif self._received_bytes > (_BODY_BYTES if self._in_body else _HEAD_BYTES):
            self._end(TOO_LARGE, False)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio.Protocol."""
        self._transport = None
        if self._timer is None:
            return
        if exc is None and self._in_body and not self._framed:
            self._end(self._parser.get_status_code(), False)
        else:
            self._end(CLOSED if exc is None else RESET, False)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools."""
        name = name.lower()
        if name in _LENGTHS:
            self._framed = True
        elif name == b"server-timing":
            self.server_timing = value

    def on_headers_complete(self) -> None:
        """httptools."""
        self._in_body = self._parser.get_status_code() >= _FINAL_STATUS

    def on_message_begin(self) -> None:
        """httptools."""
        if self._status:
            self._status = MALFORMED  # a second answer to one request

    def on_message_complete(self) -> None:
        """httptools."""
        if not self._status and (status := self._parser.get_status_code()) >= _FINAL_STATUS:
            self._status, self._keep = status, self._parser.should_keep_alive()
