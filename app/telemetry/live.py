"""Owns what a service did in the last seconds, read from its counters when somebody looks; does not count."""

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry

_WINDOW_S: Final = 5.0
_EVERY_S: Final = 0.9  # however many look: reading takes most of a millisecond
_GAUGES: Final = {
    "vit_ready": "ready",
    "vit_queue_depth": "queue_depth",
    "vit_slots_in_use": "in_flight",
    "vit_slots": "slots",
    "vit_connections": "connections",
    "vit_connections_limit": "connections_limit",
}
_DURATION, _BATCH = "vit_request_duration_seconds", "vit_batch_size"
_READ: Final = (*_GAUGES, f"{_DURATION}_bucket", f"{_DURATION}_count", f"{_BATCH}_bucket", f"{_BATCH}_sum")
_OUTCOMES: Final = ("answered", "rejected", "refused", "failed")


class _Counted(NamedTuple):
    """The counters at one instant. Buckets by their upper bound, cumulative as Prometheus has them."""

    at: float
    outcomes: Counter[str]
    seconds: Counter[float]  # of what was answered
    sizes: Counter[float]
    images: float


class Live:
    """The last seconds of one service. Nothing is kept or computed while nobody looks."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._clock = registry, clock
        self._past: deque[_Counted] = deque()
        self._looked_at = clock() - _EVERY_S
        self.document = b"{}"  # JSON

    def due(self) -> bool:
        """Whether it is time to `look` again, which the caller then does: others are told that it is not."""
        now = self._clock()
        if now - self._looked_at < _EVERY_S:
            return False
        self._looked_at = now
        return True

    def look(self) -> None:
        """Renews the document. Rates and quantiles are null in the first one after nobody looked for a while.

        For another thread than the event loop's, one at a time.
        """
        now, gauges = self._read()
        while self._past and now.at - self._past[0].at > _WINDOW_S + _EVERY_S:
            self._past.popleft()
        before = self._past[0] if self._past else None
        self._past.append(now)
        self.document = json.dumps({**gauges, **_between(before, now)}).encode()

    def _read(self) -> tuple[_Counted, dict[str, float]]:
        counted = _Counted(self._clock(), Counter(), Counter(), Counter(), 0.0)
        gauges: dict[str, float] = {}
        for family in self._registry.restricted_registry(_READ).collect():
            for name, labels, value, *_ in family.samples:
                if name in _GAUGES:
                    gauges[_GAUGES[name]] = value
                elif name == f"{_DURATION}_count":
                    counted.outcomes[labels["outcome"]] += int(value)
                elif name == f"{_DURATION}_bucket" and labels["outcome"] == "answered":
                    counted.seconds[float(labels["le"])] += int(value)
                elif name == f"{_BATCH}_bucket":
                    counted.sizes[float(labels["le"])] += int(value)
                elif name == f"{_BATCH}_sum":
                    counted = counted._replace(images=value)
        return counted, gauges


def _between(before: _Counted | None, now: _Counted) -> dict[str, Any]:
    """What happened between two instants, as the page shows it."""
    if before is None:
        return dict.fromkeys(("window_s", "requests_per_s", "images_per_s", "p50_ms", "p99_ms", *_OUTCOMES, "batches"))
    seconds, outcomes = now.at - before.at, now.outcomes - before.outcomes
    buckets = {bound: now.seconds[bound] - before.seconds[bound] for bound in sorted(now.seconds)}
    batches, below = [], 0
    for size in sorted(now.sizes):
        until = now.sizes[size] - before.sizes[size]
        batches.append([size if size < float("inf") else None, until - below])
        below = until
    return {
        "window_s": round(seconds, 1),
        "requests_per_s": round(sum(outcomes.values()) / seconds, 2),
        "images_per_s": round((now.images - before.images) / seconds, 2),
        "p50_ms": _quantile_ms(buckets, 0.5),
        "p99_ms": _quantile_ms(buckets, 0.99),
        **{outcome: outcomes[outcome] for outcome in _OUTCOMES},
        "batches": batches,
    }


def _quantile_ms(cumulative: Mapping[float, int], quantile: float) -> float | None:
    """Between a bucket's bounds on a straight line, as Prometheus' `histogram_quantile` has it; None for no values."""
    rank = quantile * max(cumulative.values(), default=0)
    lower, below = 0.0, 0
    for upper, until in cumulative.items():
        if rank and until >= rank:
            if upper == float("inf"):
                return lower * 1000
            return round((lower + (upper - lower) * (rank - below) / (until - below)) * 1000, 2)
        lower, below = upper, until
    return None
