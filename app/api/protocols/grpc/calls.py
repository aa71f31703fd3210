"""Owns what is told of a gRPC call, to its client by one table of codes, and to observers; does no work."""

import asyncio
import logging
import time
from types import TracebackType
from typing import Any, Final

import grpc

from app import errors
from app.api.errors import STATUS, count_refusal
from app.api.observers import Observers
from app.api.request_id import request_id
from app.api.state import ANSWERED_AT, FAILED_BY, State
from app.telemetry.served import Served

logger = logging.getLogger(__name__)
_CLIENT_GONE: Final = 499
Trailer = tuple[tuple[str, str], ...]

# What is not here is the request's fault, as a RequestError, or else ours.
CODES: Final[dict[type[errors.VitServeError], grpc.StatusCode]] = {
    errors.UnknownModel: grpc.StatusCode.NOT_FOUND,
    errors.NotSupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotReady: grpc.StatusCode.UNAVAILABLE,
    errors.EngineFailed: grpc.StatusCode.UNAVAILABLE,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.BodyTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.BodyTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,  # as gRPC itself says of a message over its limit
}


class Call:
    """One call, from its head to its answer; `with` tells of its end."""

    def __init__(self, state: State, method: str, context: Any) -> None:
        self.context, self._state, self._method = context, state, method
        self._observers = Observers(state.metrics, state.access)
        self._started_at, self._status = time.monotonic(), 200
        self.counted = False  # whether its error is counted already
        self._scope: dict[str, Any] = {
            "headers": [(name.encode(), _bytes(value)) for name, value in context.invocation_metadata() or ()],
            "client": (context.peer(), 0),
        }

    @property
    def timeout_s(self) -> float | None:
        """Seconds until the client's deadline, if it has one."""
        left_s: float | None = self.context.time_remaining()
        return left_s

    def answered(self) -> None:
        """The answer is known; what follows is writing it."""
        self._scope[ANSWERED_AT] = time.monotonic()

    def failed(self, error: Exception) -> tuple[grpc.StatusCode, str, Trailer]:
        """The code, the sentence and the metadata of its answer. A bug's cause goes to the log, not to the client."""
        id_ = request_id(self._scope)
        if not isinstance(error, errors.VitServeError):
            logger.error("request %s failed", id_, exc_info=error)
            error = errors.VitServeError("an internal error happened; the log has it under this request id")
        if not self.counted:
            count_refusal(self._state.metrics, error)
        self._status = STATUS.get(type(error), 500)
        self._scope[FAILED_BY] = error.code, str(error)
        default = (
            grpc.StatusCode.INVALID_ARGUMENT if isinstance(error, errors.RequestError) else grpc.StatusCode.INTERNAL
        )
        trailer: Trailer = (("x-request-id", id_), ("x-error-code", error.code))
        if isinstance(error, errors.Unavailable):  # clients that retry by a service config wait for as long
            retry_after_s = error.retry_after_s if isinstance(error, errors.Overloaded) else 1.0
            trailer += (("grpc-retry-pushback-ms", str(max(1, round(retry_after_s * 1000)))),)
        return CODES.get(type(error), default), str(error), trailer

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, asyncio.CancelledError):
            self._status = _CLIENT_GONE
        now = time.monotonic()
        served = Served(request_id(self._scope), "POST", self._method, self._status, now, now - self._started_at)
        self._observers.end(self._scope, served, None)


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
