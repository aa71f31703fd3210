"""Owns the search for the highest rate that a server keeps up with; does not send anything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.load.figures import Figures

_IN_TIME: Final = 0.99  # of all that arrive, refused or failed or not: then their p99 is within the deadline
_LEAVES: Final = 0.97  # of what comes, in the window: a queue that grows may stay within the deadline for as long
_GROWTH: Final = 1.5
_WITHIN: Final = 1.05  # between a rate that holds and one that does not
_MOST_STEPS: Final = 24
_LEAST_RATE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One rate, what was measured, and whether it held."""

    rate: float
    held: bool
    figures: Figures


@dataclass(frozen=True, slots=True)
class Peak:
    """`rate`: the highest that held; None if none did. `reason`: why the search ended, in a sentence."""

    rate: float | None
    reason: str
    steps: list[Step]


async def find_peak(start: float, measure: Callable[[float], Awaitable[Figures | None]]) -> Peak:
    """Raises the rate until it no longer holds, then halves the interval. `measure` gives None to end the search.

    A rate that does not hold is tried a second time, so that a stall of the machine does not end the climb.
    """
    steps, low, high, rate = list[Step](), 0.0, 0.0, max(start, _LEAST_RATE)
    while len(steps) < _MOST_STEPS:
        for _ in range(2):
            if (figures := await measure(rate)) is None:
                return Peak(low or None, "It was interrupted.", steps)
            steps.append(Step(rate, _holds(figures), figures))
            if steps[-1].held:
                break
        held = steps[-1].held
        if not held and steps[-1].figures.limited_by_generator:
            return Peak(low or None, f"At {rate:,.0f}/s the generator was the limit, not the server.", steps)
        low, high = (rate, high) if held else (low, rate)
        if high and (high / max(low, 1e-9) <= _WITHIN or high <= _LEAST_RATE):
            break
        rate = rate * _GROWTH if not high else (low + high) / 2 if low else max(high / 2, _LEAST_RATE)
    why = f"At {high:,.1f}/s fewer than {_IN_TIME:.0%} were answered in time, or the queue grew."
    why = why if high else "It still held at the last."
    return Peak(low or None, why, steps)


def _holds(figures: Figures) -> bool:
    leaves = figures.throughput_per_s * figures.seconds
    return (figures.in_time or 0.0) >= _IN_TIME and leaves >= _LEAVES * figures.sent
