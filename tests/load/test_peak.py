"""Owns the tests of the search for the highest rate, on servers whose limit is known."""

from dataclasses import replace

import pytest

from app.load.figures import Figures, figures_of
from app.load.peak import Peak, find_peak
from tests.load.test_figures import OPEN, run_of

EMPTY = figures_of(run_of([]), OPEN, 1000.0)


async def search(start: float, limit: float, **fields: object) -> tuple[Peak, list[float]]:
    rates = list[float]()

    async def measure(rate: float) -> Figures | None:
        rates.append(rate)
        return replace(EMPTY, in_time=1.0 if rate <= limit else 0.9, **fields)  # type: ignore[arg-type]

    return await find_peak(start, measure), rates


@pytest.mark.parametrize("start", [1.0, 90.0, 100.0, 104.0, 5000.0])
async def test_the_limit_is_found_within_a_twentieth(start: float):
    found, rates = await search(start, 100.0)
    assert found.rate is not None and 100 / 1.05 <= found.rate <= 100
    assert "fewer than 99%" in found.reason
    assert len(rates) == len(found.steps) < 40
    assert all(step.held == (step.rate <= 100) for step in found.steps)


async def test_a_queue_that_grows_does_not_hold_although_all_are_in_time():
    async def measure(rate: float) -> Figures | None:
        return replace(EMPTY, in_time=1.0, sent=round(10 * rate), throughput_per_s=min(rate, 100.0))

    found = await find_peak(50.0, measure)
    assert found.rate is not None and 95 < found.rate < 104
    assert "the queue grew" in found.reason


async def test_a_server_that_never_holds_has_no_peak():
    found, rates = await search(10.0, 0.01)
    assert found.rate is None
    assert min(rates) == 0.5


async def test_a_stall_of_the_machine_does_not_end_the_climb():
    tries = list[float]()

    async def measure(rate: float) -> Figures | None:
        tries.append(rate)
        return replace(EMPTY, in_time=0.5 if rate > 100 or len(tries) == 2 else 1.0)

    found = await find_peak(50.0, measure)
    assert found.rate is not None and found.rate > 95
    assert tries[1] == tries[2]


async def test_when_the_generator_is_the_limit_it_says_so():
    found, _ = await search(10.0, 100.0, limited_by_generator=True)
    assert found.rate is not None and found.rate <= 100
    assert "the generator was the limit, not the server" in found.reason


async def test_interrupted():
    async def measure(rate: float) -> Figures | None:
        return replace(EMPTY, in_time=1.0) if rate < 20 else None

    found = await find_peak(10.0, measure)
    assert found.rate == 15.0
    assert "interrupted" in found.reason
