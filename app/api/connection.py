"""Owns what a connection may cost outside its requests, in seconds and bytes; does not run requests."""

import asyncio
import json
import re
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.request_id import request_id

IDLE_TIMEOUT_S: Final = 75  # longer than load balancers keep their side open, 60 s as a rule, or they meet a closed one
HEADER_TIMEOUT_S: Final = 10
MAX_HEADER_BYTES: Final = 64 * 1024
MAX_PIPELINED: Final = 32
_UPGRADE: Final = re.compile(rb"(?<=\r\n)upgrade(?=[ \t]*:)", re.IGNORECASE)


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection, for clients that mean harm.

    By itself it waits for ever for headers, takes any length of them and any number of requests ahead, and waits for
    ever for clients that do not read. What still arrives of a body that was refused is read and forgotten, so that
    the client can finish sending and then read why; that too ends with the idle timeout.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        self._in_head, self._progress = True, False
        self._bytes_without_progress = 0
        self._timer = self.loop.call_later(IDLE_TIMEOUT_S, self._end_if_waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses; memory grows with bytes that end neither headers nor a piece of body, so those are counted."""
        if self._in_head:
            data = _without_upgrade(data)
        self._progress = False
        super().data_received(data)
        self._bytes_without_progress = 0 if self._progress else self._bytes_without_progress + len(data)
        if self._bytes_without_progress > MAX_HEADER_BYTES:
            self._refuse(431, "headers_too_large", f"the headers are larger than {MAX_HEADER_BYTES} bytes")

    def on_message_begin(self) -> None:
        """The parser saw a request's first byte."""
        super().on_message_begin()
        self._wait(HEADER_TIMEOUT_S)

    def on_headers_complete(self) -> None:
        """The parser saw the end of a request's headers."""
        self._in_head, self._progress = False, True
        super().on_headers_complete()
        if len(self.pipeline) > MAX_PIPELINED:  # each costs kilobytes, where its forty bytes in the buffer did not
            self._refuse(400, "too_many_pipelined", f"more than {MAX_PIPELINED} requests were sent ahead")
            raise ValueError  # for the parser, which would go on

    def on_body(self, body: bytes) -> None:
        """The parser saw a piece of a body."""
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser saw the end of a request."""
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer was handed to the operating system, or waits for the client to read."""
        super().on_response_complete()
        self._wait(IDLE_TIMEOUT_S)

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what is not HTTP, in our form."""
        self._refuse(400, "malformed_http", "the request is not valid HTTP/1.1")

    def _wait(self, seconds: float) -> None:
        self._timer.cancel()
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(seconds, self._end_if_waiting)

    def _end_if_waiting(self) -> None:
        """Ends the connection if it waits for the client: to send a request, or to read an answer."""
        if self.cycle is None or self.cycle.response_complete or self.flow.write_paused:
            self.transport.abort()
        else:
            self._wait(IDLE_TIMEOUT_S)

    def _refuse(self, status: int, code: str, sentence: str) -> None:
        if self.transport.is_closing():
            return
        id_ = request_id({})
        body = json.dumps({"error": sentence, "code": code, "request_id": id_})
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-request-id: {id_}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write((head + body).encode("ascii"))
        self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    """A request's head without its wish for another protocol, which a server may ignore.

    The parser drops the body of requests that have one, and Java's HttpClient sends it with all of them.
    """
    end_of_head = data.find(b"\r\n\r\n")
    if end_of_head < 0 or not _UPGRADE.search(data, 0, end_of_head):
        return data
    return _UPGRADE.sub(b"ignored", data[:end_of_head]) + data[end_of_head:]
