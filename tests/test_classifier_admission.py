"""Who is let in, by what decoding will take, by the time there is, and by the state of the engine."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from app.engine.client import Status
from app.errors import DeadlineExceeded, EngineFailed, NotReady, Overloaded
from app.imaging.pool import Examined
from app.imaging.price import Price
from app.scheduling.job import Job
from tests.engine.test_engine import until
from tests.test_classifier import place, png

LARGE = Examined(16, Price(3.0, 2**20))


async def test_a_large_picture_behind_large_ones_is_refused_and_a_small_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with place(max_wait_s=0.5) as p:
        p.runner.gate.clear()
        monkeypatch.setattr(p.decoders, "wait_s", lambda cost: 2.0 if cost is LARGE.price else 0.0)
        with pytest.raises(Overloaded) as caught:
            await p.classifier.classify(png(1), examined=LARGE)
        assert caught.value.retry_after_s == pytest.approx(1.5)
        assert p.slots.in_use == 0 and p.observer.outcomes == []
        p.runner.gate.set()
        assert (await p.classifier.classify(png(2), top_k=1)).predictions[0].index == 2


async def test_what_takes_longer_to_decode_than_there_is_time_is_refused_at_once() -> None:
    async with place() as p:
        started_at = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="decoding takes"):
            await p.classifier.classify(png(1), timeout_s=2.9, examined=LARGE)
        assert time.monotonic() - started_at < 1
        assert p.slots.in_use == 0


async def test_what_was_examined_is_not_examined_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as p:
        examined = p.classifier.examine(png(3))

        def examine(data: bytes) -> Examined:
            raise AssertionError("again")

        monkeypatch.setattr(p.decoders, "examine", examine)
        assert (await p.classifier.classify(png(3), top_k=1, examined=examined)).predictions[0].index == 3


async def test_nobody_has_more_time_than_the_ceiling() -> None:
    async with place() as p:
        p.classifier._config = replace(p.classifier._config, request_timeout_s=0.05)
        p.runner.gate.clear()
        with pytest.raises(DeadlineExceeded, match="50 ms"):
            await asyncio.wait_for(p.classifier.classify(png(1), timeout_s=99), 5)
        p.runner.gate.set()
        await until(lambda: p.slots.in_use == 0)


async def test_a_job_knows_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as p:
        jobs: list[Job] = []
        submit = p.engine.submit

        async def noted(job: Job) -> Any:
            jobs.append(job)
            return await submit(job)

        monkeypatch.setattr(p.engine, "submit", noted)
        await p.classifier.classify(png(1), timeout_s=7)
        assert jobs[0].deadline_at == pytest.approx(time.monotonic() + 7, abs=2)


@pytest.mark.parametrize(("limit", "count"), [(3, 3), (100, 5)])
async def test_without_top_k_there_are_no_more_than_the_limit(limit: int, count: int) -> None:
    async with place() as p:
        p.classifier._config = replace(p.classifier._config, max_top_k=limit)
        assert len((await p.classifier.classify(png(1))).predictions) == count


@pytest.mark.parametrize(("status", "error"), [(Status.STARTING, NotReady), (Status.FAILED, EngineFailed)])
async def test_the_door_knows_the_state_of_the_engine(status: Status, error: type[Exception]) -> None:
    async with place() as p:
        p.engine._status = status
        with pytest.raises(error):
            p.classifier.check_admission()
        with pytest.raises(error):
            await p.classifier.classify(png(1))
        p.engine._status = Status.READY
        p.classifier.check_admission()
