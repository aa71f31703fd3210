"""Owns OpenTelemetry's spans of requests, stages and batches; alone imports it. Does not measure, others tell it."""

import threading
import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, format_span_id, format_trace_id
from opentelemetry.trace import set_span_in_context as inside
from opentelemetry.util.types import AttributeValue

from app.domain import Timed, Timing
from app.telemetry.served import Served
from app.version import VERSION

_NAME: Final = "vit-serve"
_BATCHES: Final = 1024  # remembered, so that the images of one find the same span
_STAGES: Final = ("decode", "queue", "inference")


class _Image(NamedTuple):
    number: int
    started_at: float
    timing: Timing
    batch_id: int
    batch_size: int


class SpanTracer:
    """Sends what is sampled to a collector, from a thread of its own; if that is not there, spans are lost, no request.

    Not OpenTelemetry's global provider: FastAPI would make spans of its own beside ours.
    """

    def __init__(self) -> None:
        resource = Resource.create({"service.version": VERSION})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):  # OpenTelemetry's own default
            resource = resource.merge(Resource({"service.name": _NAME}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(_NAME, VERSION)
        self._batches: dict[int, SpanContext] = {}  # ordered: the oldest first

    def begin(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], started_at: float
    ) -> "SpanRequestTrace":
        """See Tracer."""
        carrier: dict[str, list[str]] = {}
        for name, value in headers:
            carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        offset_s = time.time() - time.monotonic()
        span = self._tracer.start_span(
            method,
            propagate.extract(carrier, Context()),
            SpanKind.SERVER,
            {"http.request.method": method, "url.path": path[:200], "url.scheme": "http"},
            start_time=_ns(started_at + offset_s),
        )
        return SpanRequestTrace(self, span, offset_s)

    def child(
        self, parent: Span, name: str, times_s: tuple[float, float], attributes: dict[str, AttributeValue]
    ) -> Span:
        """A span from and to those seconds since 1970; to be ended by the caller at the second."""
        return self._tracer.start_span(
            name, inside(parent, Context()), attributes=attributes, start_time=_ns(times_s[0])
        )

    def batch(self, image: _Image, inference: Span, times_s: tuple[float, float]) -> SpanContext:
        """The span of an image's batch: there, or made now below the first sampled image's inference.

        Below it, so that the same sampling holds for both: a batch that a link leads to is there to be seen.
        """
        if (known := self._batches.get(image.batch_id)) is not None:
            return known
        attributes: dict[str, AttributeValue] = {"vit.batch.id": image.batch_id, "vit.batch.size": image.batch_size}
        span = self.child(inference, "batch", times_s, attributes)
        span.end(_ns(times_s[1]))
        context = self._batches[image.batch_id] = span.get_span_context()
        if len(self._batches) > _BATCHES:
            del self._batches[next(iter(self._batches))]
        return context

    def close(self, timeout_s: float) -> None:
        """See Tracer."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracer-close", daemon=True)
        closing.start()
        closing.join(timeout_s)  # the exporter's own limit is longer than a drain


class SpanRequestTrace:
    """A request's spans, all but its own made when it is over: nobody waits for them."""

    def __init__(self, tracer: SpanTracer, span: Span, offset_s: float) -> None:
        self._tracer, self._span, self._offset_s = tracer, span, offset_s
        context = span.get_span_context()
        self.sampled, self.trace_id = span.is_recording(), format_trace_id(context.trace_id)
        self.answer = f"00-{self.trace_id}-{format_span_id(context.span_id)}-{context.trace_flags:02x}".encode()
        self._stages: list[tuple[str, float, float]] = []
        self._images: list[_Image] = []

    def stage(self, name: str, started_at: float, ended_at: float) -> None:
        """See RequestTrace."""
        self._stages.append((name, started_at, ended_at))

    def image(self, index: int, started_at: float, answer: Timed) -> None:
        """See RequestTrace."""
        self._images.append(_Image(index, started_at, answer.timing, answer.batch_id, answer.batch_size))

    def end(self, served: Served) -> None:
        """See RequestTrace."""
        if not self.sampled:
            return
        for name, started_at, ended_at in self._stages:
            times_s = started_at + self._offset_s, ended_at + self._offset_s
            self._tracer.child(self._span, name, times_s, {}).end(_ns(times_s[1]))
        for image in self._images:
            self._end_image(image)
        span = self._span
        span.update_name(f"{served.method} {served.route}")
        span.set_attributes(_attributes(served))
        if self._images:
            span.set_attribute("vit.images", len(self._images))
        if (
            served.status >= 500
        ):  # of the client's mistakes OpenTelemetry's conventions say that they are no errors here
            span.set_status(Status(StatusCode.ERROR))
        span.end(_ns(served.ended_at + self._offset_s))

    def _end_image(self, image: _Image) -> None:
        timing, at_s = image.timing, [image.started_at + self._offset_s]
        for duration_ms in (timing.decode_ms, timing.queue_ms, timing.inference_ms):
            at_s.append(at_s[-1] + duration_ms / 1000)
        for name, times_s in zip(_STAGES, pairwise(at_s), strict=True):
            span = self._tracer.child(self._span, name, times_s, {"vit.image": image.number})
            if name == "inference":
                span.add_link(self._tracer.batch(image, span, times_s))
            span.end(_ns(times_s[1]))


def _attributes(served: Served) -> dict[str, AttributeValue]:
    """By OpenTelemetry's semantic conventions for HTTP servers, and ours where they have none."""
    attributes: dict[str, AttributeValue | None] = {
        "http.route": served.route,
        "http.response.status_code": served.status,
        "http.request.body.size": served.bytes_in,
        "http.response.body.size": served.bytes_out,
        "client.address": served.client,
        "error.type": served.code,
        "vit.error.cause": served.cause,
        "vit.request_id": served.request_id,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
