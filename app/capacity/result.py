"""Owns what a simulated day amounts to: totals, percentiles, cost, a row for each part of it; does not print them."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from app.capacity.latencies import quantile_s
from app.capacity.simulate import Day

_ROWS_MOST: Final = 24
_HOUR_S: Final = 3600.0
_SHORTAGE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Price:
    """What a core costs an hour, and how many a replica takes up; in whatever currency."""

    core_hour: float
    cores: float


@dataclass(frozen=True, slots=True)
class Row:
    """A part of the day, from `second` on. Rates in images a second, shares 0 … 1; None: nothing was answered."""

    second: float
    offered_per_s: float
    answered_per_s: float
    refused_share: float
    replicas_mean: float
    replicas_most: int
    ready_mean: float
    busy: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Total:
    """The whole day. `cost_per_million` is of answered images; None where none was.

    `longest_shortage_s`: without a break more than one in a hundred was refused for so long.
    """

    images: float
    answered: float
    refused: float
    refused_share: float
    p50_ms: float | None
    p99_ms: float | None
    replicas_least: int
    replicas_mean: float
    replicas_most: int
    cores_most: float
    core_hours: float
    cost: float
    cost_per_million: float | None
    busy_most: float
    longest_shortage_s: float


def total(day: Day, price: Price) -> Total:
    """Sums the day up."""
    images, answered, refused = (float(each.sum()) * day.step_s for each in (day.offered, day.answered, day.refused))
    core_hours = float(day.paid.sum()) * day.step_s / _HOUR_S * price.cores
    counts, cost = day.latencies.sum(axis=0), core_hours * price.core_hour
    return Total(
        images=images,
        answered=answered,
        refused=refused,
        refused_share=refused / images if images else 0.0,
        p50_ms=_ms(quantile_s(counts, 0.5)),
        p99_ms=_ms(quantile_s(counts, 0.99)),
        replicas_least=int(day.replicas.min()),
        replicas_mean=float(day.replicas.mean()),
        replicas_most=int(day.replicas.max()),
        cores_most=float(day.paid.max()) * price.cores,
        core_hours=core_hours,
        cost=cost,
        cost_per_million=1e6 * cost / answered if answered else None,
        busy_most=float(day.busy.max()),
        longest_shortage_s=_longest_shortage_s(day),
    )


def rows(day: Day, most: int = _ROWS_MOST) -> list[Row]:
    """The day in so many parts at most, whole groups of its steps each."""
    groups = len(day.latencies)
    each = -(-groups // most)
    found = []
    for first in range(0, groups, each):
        part = slice(first * day.group, (first + each) * day.group)
        counts = day.latencies[first : first + each].sum(axis=0)
        offered, refused = float(day.offered[part].mean()), float(day.refused[part].mean())
        found.append(
            Row(
                second=first * day.group * day.step_s,
                offered_per_s=offered,
                answered_per_s=float(day.answered[part].mean()),
                refused_share=refused / offered if offered else 0.0,
                replicas_mean=float(day.replicas[part].mean()),
                replicas_most=int(day.replicas[part].max()),
                ready_mean=float(day.ready[part].mean()),
                busy=float(day.busy[part].mean()),
                p50_ms=_ms(quantile_s(counts, 0.5)),
                p99_ms=_ms(quantile_s(counts, 0.99)),
            )
        )
    return found


def document(day: Day, price: Price, inputs: dict[str, Any]) -> dict[str, Any]:
    """All of it for programs, with what it was computed from."""
    how = "every image, event by event" if day.exact else "steady state of a replica at each second's load"
    return {
        "inputs": inputs,
        "simulated": how,
        "total": asdict(total(day, price)),
        "rows": [asdict(row) for row in rows(day, len(day.latencies))],
    }


def _longest_shortage_s(day: Day) -> float:
    short = day.refused > _SHORTAGE * np.maximum(day.offered, 1e-9)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], short.astype(np.int8), [0]])))
    return float((edges[1::2] - edges[::2]).max()) * day.step_s if edges.size else 0.0


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
