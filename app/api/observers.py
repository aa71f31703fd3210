"""Owns who is told of a request, and of what; does not answer requests."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.api.state import ANSWERED_AT, FAILED_BY, READ_BYTES
from app.telemetry.access import AccessLog
from app.telemetry.metrics import Metrics
from app.telemetry.served import Served
from app.telemetry.tracing import RequestTrace, Tracer

Scope = Mapping[str, Any]

# Asked all the time, and told by metrics: no failures to be logged.
_PROBES: Final = ("/livez", "/readyz", "/metrics", "/ping", "/health")
_WITH_IMAGES: Final = ("POST", "PUT")  # others are not timed: probes would have as many series
_TRACE_PARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_MAX_EXEMPLAR_CHARACTERS: Final = 128  # OpenMetrics': names and values together


@dataclass(frozen=True, slots=True)
class Observers:
    """Who is told of requests."""

    metrics: Metrics
    access: AccessLog | None = None
    tracer: Tracer | None = None

    def end(self, scope: Scope, served: Served, trace: RequestTrace | None) -> None:
        """A request is over."""
        timed = served.method in _WITH_IMAGES and served.route != "unmatched"
        self.metrics.request(served.route, served.status, served.seconds, _exemplar(served.request_id, trace), timed)
        if (answered_at := scope.get(ANSWERED_AT)) is not None:
            self.metrics.stage("respond", served.ended_at - answered_at)
            if trace is not None:
                trace.stage("respond", answered_at, served.ended_at)
        failed = served.status >= 400 and served.route not in _PROBES
        logged = self.access is not None and self.access.wants(failed)
        if logged or trace is not None:
            served = _with_details(served, scope, trace)
        if logged and self.access is not None:
            self.access.write(served)
        if trace is not None:
            trace.end(served)


def _with_details(served: Served, scope: Scope, trace: RequestTrace | None) -> Served:
    """What is looked for only if somebody will read it."""
    code, cause = scope.get(FAILED_BY) or (None, None)
    forwarded_for = b", ".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    return served._replace(
        trace_id=_trace_id(scope) if trace is None else trace.trace_id,
        client=client[0] if (client := scope.get("client")) else None,
        forwarded_for=forwarded_for[:200].decode("latin-1") or None,
        code=code,
        cause=cause,
        bytes_in=scope.get(READ_BYTES, 0),
    )


def _trace_id(scope: Scope) -> str | None:
    """The caller's, which its own traces have, though none are made here."""
    parent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
    found = _TRACE_PARENT.fullmatch(parent)
    return found[1].decode() if found else None


def _exemplar(id_: str, trace: RequestTrace | None) -> dict[str, str]:
    """How to find the request elsewhere: its trace, if there is one to be seen, and its id, if there is room for it."""
    exemplar = {"trace_id": trace.trace_id} if trace is not None and trace.sampled else {}
    taken = sum(len(name) + len(value) for name, value in exemplar.items())
    if taken + len("request_id") + len(id_) <= _MAX_EXEMPLAR_CHARACTERS:
        exemplar["request_id"] = id_
    return exemplar
