"""Owns what the edge tells of a request to whoever traces, if anybody does; does not know OpenTelemetry."""

from collections.abc import Iterable
from typing import Protocol

from app.domain import Timed
from app.errors import SetupError
from app.telemetry.served import Served


class RequestTrace(Protocol):
    """One request on its way; instants are on the monotonic clock, in seconds."""

    trace_id: str  # 32 hexadecimal digits
    sampled: bool  # whether anybody will see it
    answer: bytes  # the value of `traceresponse`, by which the client finds it

    def stage(self, name: str, started_at: float, ended_at: float) -> None:
        """It spent that time in a stage: read or respond."""
        ...

    def image(self, index: int, started_at: float, answer: Timed) -> None:
        """Its image of that index, which was begun then, is answered."""
        ...

    def end(self, served: Served) -> None:
        """It is over."""
        ...


class Tracer(Protocol):
    """Whoever traces. For one event loop."""

    def begin(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], started_at: float) -> RequestTrace:
        """A request has come; whether it is sampled is decided by its headers and the sampler."""
        ...

    def close(self, timeout_s: float) -> None:
        """Sends what is left, within that time. Blocks."""
        ...


def open_tracer() -> Tracer:
    """OpenTelemetry's, as the OTEL_* variables say. Raises SetupError if it is not installed or they make no sense."""
    try:
        from app.telemetry.spans import SpanTracer
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("opentelemetry", "requests", "google"):
            raise
        raise SetupError("VIT_TRACING=otlp needs OpenTelemetry: pip install 'vit-serve[otel]'") from error
    try:
        return SpanTracer()
    except (ValueError, OSError) as error:
        raise SetupError(f"traces cannot be sent as the OTEL_* variables say: {error}") from error
