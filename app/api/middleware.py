"""Owns what is around every request: id, counting, limits on bodies and open requests; does not know routes."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request

from app.api.errors import error_response, unknown_error_response
from app.api.request_id import HEADER, request_id
from app.api.state import ANSWERED_AT
from app.errors import BodyTooLarge, Overloaded
from app.telemetry.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_CLIENT_GONE = 499


class Tracking:
    """Outermost: gives each answer its `X-Request-ID` and counts it under the route's template."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.monotonic()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((HEADER, request_id(scope).encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # here, and not in Starlette's outermost layer, so that it is counted and has its id
            if status:
                raise
            await unknown_error_response(Request(scope), error)(scope, receive, send_with_id)
        finally:
            now = time.monotonic()
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.request(route, status or _CLIENT_GONE, now - started_at)
            if (answered_at := scope.get(ANSWERED_AT)) is not None:
                self._metrics.stage("respond", now - answered_at)


class BodyLimit:
    """Refuses a body over the limit: by its Content-Length before a byte is read, else as soon as it is over."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _content_length(scope) > self._max_bytes:
            await error_response(Request(scope), self._error())(scope, receive, send)
            return
        read = 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._error()
            return message

        await self._app(scope, receive_limited, send)

    def _error(self) -> BodyTooLarge:
        return BodyTooLarge(f"the body is larger than the limit of {self._max_bytes} bytes")


class OpenRequests:
    """Bounds how many requests are read or answered at once, so that bodies being uploaded bound memory too.

    Probes and metrics always pass: a full service must not look dead.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit, self._open = app, limit, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        if self._open >= self._limit:
            error = Overloaded(f"{self._limit} requests are open already")
            await error_response(Request(scope), error)(scope, receive, send)
            return
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1


def _content_length(scope: Scope) -> int:
    """The announced length in bytes; 0 when it is absent or no number, for the reading to find out."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(value) if value.isdigit() else 0
