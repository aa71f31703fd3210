"""Closing at a named instant, and when a device is suspected."""

import asyncio
import time

import pytest

from app.engine.client import EngineConfig, Status
from app.errors import EngineFailed
from tests.engine.test_engine import house, until
from tests.engine.test_warm_up import BreaksAtWarmUp
from tests.fakes import EchoRunner


class Counting(EchoRunner):
    """Counts its warm-ups."""

    warm_ups = 0

    def warm_up(self) -> None:
        self.warm_ups += 1


async def test_a_device_that_answers_is_not_suspected() -> None:
    runner = Counting()
    async with house(runner) as h:
        await h.engine.ready()
        for _ in range(10):
            await h.engine.submit(h.job())
        assert runner.warm_ups == 1


async def test_closing_waits_no_longer_than_to_its_instant() -> None:
    runner = EchoRunner()
    async with house(runner, config=EngineConfig(drain_timeout_s=60)) as h:
        await h.engine.ready()
        runner.gate.clear()
        stuck = asyncio.create_task(h.engine.submit(h.job()))
        await until(lambda: runner.batches)
        waiting = asyncio.create_task(h.engine.submit(h.job()))
        await until(lambda: h.engine.queue_depth == 1)
        started_at = time.monotonic()
        await h.engine.aclose(started_at + 0.1)
        assert time.monotonic() - started_at < 2
        for task in (stuck, waiting):
            with pytest.raises(EngineFailed):
                await task
        assert h.slots.in_use == 1  # the running one's, which the lane still reads
        runner.gate.set()
        await until(lambda: h.slots.in_use == 0)
        assert h.engine.status() is Status.FAILED


async def test_what_has_failed_stays_failed_when_it_is_closed() -> None:
    async with house(BreaksAtWarmUp()) as h:
        await until(lambda: h.engine.status() is Status.FAILED)
        await h.engine.aclose()
        assert h.engine.status() is Status.FAILED
