"""Owns what happens around every request: its id, last answers, the limit on its body; does not know routes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.requests import Request

from app.api.errors import count_refusal, error_response, unknown_error_response
from app.api.observers import Observers
from app.api.request_id import HEADER, request_id
from app.api.state import READ_BYTES, TRACE
from app.errors import BodyTooLarge, Draining, VitServeError
from app.telemetry.served import Served
from app.telemetry.tracing import RequestTrace

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_CLIENT_GONE: Final = 499
# Probes and scrapes would be most of what is traced; whatever else carries images, by whatever contract, sends them.
_TRACED: Final = "/v1/"
_SENDS: Final = ("POST", "PUT")


class Tracking:
    """Outermost: gives each answer its `X-Request-ID`, and tells of it under the route's template.

    Answers too where nobody else will: after a bug, and when the drain timeout cuts a request off. While the service
    drains, each answer also ends its connection. Takes HEAD for GET, since the server leaves the body out by itself.
    """

    def __init__(self, app: ASGIApp, observers: Observers, draining: Callable[[], bool]) -> None:
        self._app, self._observers, self._draining = app, observers, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.monotonic()
        status = sent_bytes = 0
        method, trace = scope["method"], self._trace(scope, started_at)
        if method == "HEAD":
            scope = {**scope, "method": "GET"}

        async def send_with_id(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                headers.append((HEADER, request_id(scope).encode()))
                if trace is not None:
                    headers.append((b"traceresponse", trace.answer))
                if self._draining():  # a client that stays would find its connection reset under a request
                    headers.append((b"connection", b"close"))
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            if not status:
                error = Draining("the service is shutting down and did not finish this request in time")
                count_refusal(self._observers.metrics, error)
                await error_response(Request(scope), error)(scope, receive, send_with_id)
            raise
        except Exception as error:  # here, and not in Starlette's outermost layer, so that it is counted and has its id
            if status:
                raise
            count_refusal(self._observers.metrics, VitServeError())
            await unknown_error_response(Request(scope), error)(scope, receive, send_with_id)
        finally:
            now = time.monotonic()
            route = getattr(scope.get("route"), "path", "unmatched")
            id_, code = request_id(scope), status or _CLIENT_GONE
            served = Served(id_, method, route, code, now, now - started_at, bytes_out=sent_bytes)
            self._observers.end(scope, served, trace)

    def _trace(self, scope: Scope, started_at: float) -> RequestTrace | None:
        tracer, path = self._observers.tracer, scope["path"]
        if tracer is None or not (path.startswith(_TRACED) or scope["method"] in _SENDS):
            return None
        trace = scope[TRACE] = tracer.begin(scope["method"], path, scope["headers"], started_at)
        return trace


class BodyLimit:
    """Refuses a body over the limit: by its Content-Length before a byte is read, else as soon as it is over.

    Both when somebody asks for the body, so that the refusal is the route's answer and counted as such.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced, read = _content_length(scope), 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive() if announced <= self._max_bytes else {}
            read += len(message.get("body", b""))
            scope[READ_BYTES] = read
            if max(announced, read) > self._max_bytes:
                raise BodyTooLarge(f"the body is larger than the limit of {self._max_bytes} bytes")
            return message

        await self._app(scope, receive_limited, send)


def _content_length(scope: Scope) -> int:
    """The announced length in bytes; 0 when it is absent or no number, for the reading to find out."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(value[:20]) if value[:20].isdigit() else 0
