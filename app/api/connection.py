"""Owns what a connection may cost outside its requests, in seconds and bytes; does not run requests."""

import asyncio
import json
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.request_id import request_id

IDLE_TIMEOUT_S: Final = 75  # longer than load balancers keep their side open, 60 s as a rule, or they meet a closed one
HEADER_TIMEOUT_S: Final = 10
MAX_HEADER_BYTES: Final = 64 * 1024


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection, for clients that mean harm.

    By itself it waits for ever for headers, takes any length of them, and waits for ever for clients that do not
    read. What arrives after an answer of the body that was refused is read and forgotten, so that the client can
    finish sending and then read the answer; that too ends with the idle timeout.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        self._progress = False
        self._bytes_without_progress = 0
        self._timer = self.loop.call_later(IDLE_TIMEOUT_S, self._end_if_waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses; memory grows with bytes that end neither headers nor a piece of body, so those are counted."""
        self._progress = False
        super().data_received(data)
        self._bytes_without_progress = 0 if self._progress else self._bytes_without_progress + len(data)
        if self._bytes_without_progress > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._refuse(431, "headers_too_large", f"the headers are larger than {MAX_HEADER_BYTES} bytes")

    def on_message_begin(self) -> None:
        """The parser saw a request's first byte."""
        super().on_message_begin()
        self._wait(HEADER_TIMEOUT_S)

    def on_headers_complete(self) -> None:
        """The parser saw the end of a request's headers."""
        self._progress = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The parser saw a piece of a body."""
        self._progress = True
        super().on_body(body)

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
        id_ = request_id({})
        body = json.dumps({"error": sentence, "code": code, "request_id": id_})
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-request-id: {id_}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write((head + body).encode("ascii"))
        self.transport.close()
