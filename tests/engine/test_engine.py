import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.client import EngineConfig, OutOfDeviceMemory, Runner, Scores, Status
from app.engine.engine import Engine
from app.engine.slots import SlotPool
from app.errors import DeadlineExceeded, Draining, EngineFailed, InferenceFailed, Overloaded
from app.scheduling.job import Job
from app.scheduling.policy import BatchPolicy
from app.scheduling.scheduler import Scheduler
from tests.fakes import EchoRunner, RecordingObserver


class House:
    """An engine over fakes, with the slots that its jobs take."""

    def __init__(self, runners: Sequence[Runner], policy: BatchPolicy, config: EngineConfig) -> None:
        self.slots = SlotPool(64, 1, 1)
        self.observer = RecordingObserver()
        self.engine = Engine(runners, Scheduler(policy), self.slots, config, self.observer)
        self._ids = iter(range(10**9))

    def job(self, top_k: int = 1, timeout_s: float = 60) -> Job:
        slot = self.slots.take()
        assert slot is not None
        return Job(next(self._ids), slot, top_k, time.monotonic() + timeout_s)


@asynccontextmanager
async def house(
    *runners: Runner, policy: BatchPolicy | None = None, config: EngineConfig | None = None
) -> AsyncIterator[House]:
    made = House(runners, policy or BatchPolicy(), config or EngineConfig())
    made.engine.start()
    try:
        yield made
    finally:
        for runner in runners:
            if isinstance(runner, EchoRunner):
                runner.gate.set()
        await made.engine.aclose()


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.002)


def test_each_job_gets_its_own_answer_and_its_slot_comes_back() -> None:
    async def run() -> None:
        async with house(EchoRunner(), EchoRunner()) as h:
            await h.engine.ready()
            jobs = [h.job(top_k=1 + i % 3) for i in range(40)]
            answers = await asyncio.gather(*(h.engine.submit(job) for job in jobs))
            for job, answer in zip(jobs, answers, strict=True):
                assert answer.scores == Scores([1.0] * job.top_k, [job.slot] * job.top_k)
                assert 1 <= answer.batch_size <= 8
            assert h.slots.in_use == 0
            assert sum(h.observer.batches) == 40
            assert h.observer.stages.count("queue") == h.observer.stages.count("inference") == 40
            assert h.engine.seconds_per_image > 0

    asyncio.run(run())


def test_batches_grow_because_the_lane_is_busy() -> None:
    async def run() -> None:
        runner = EchoRunner()
        async with house(runner) as h:
            runner.gate.clear()
            first = asyncio.create_task(h.engine.submit(h.job()))
            await until(lambda: runner.batches)
            rest = [asyncio.create_task(h.engine.submit(h.job())) for _ in range(11)]
            await until(lambda: h.engine.queue_depth == 11)
            runner.gate.set()
            await asyncio.gather(first, *rest)
            assert [len(batch) for batch in runner.batches] == [1, 8, 3]
            assert runner.alone[0] is True and runner.alone[1] is False

    asyncio.run(run())


def test_a_leaving_caller_frees_its_waiting_job_at_once() -> None:
    async def run() -> None:
        runner = EchoRunner()
        async with house(runner) as h:
            runner.gate.clear()
            running = asyncio.create_task(h.engine.submit(h.job()))
            await until(lambda: runner.batches)
            waiting = asyncio.create_task(h.engine.submit(h.job()))
            await until(lambda: h.engine.queue_depth == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert h.engine.queue_depth == 0
            assert h.slots.in_use == 1  # the running one's, which the lane still reads
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert h.slots.in_use == 1
            runner.gate.set()
            await until(lambda: h.slots.in_use == 0)
            assert len(runner.batches) == 1

    asyncio.run(run())


def test_what_expires_in_the_queue_never_runs() -> None:
    async def run() -> None:
        runner = EchoRunner()
        async with house(runner) as h:
            runner.gate.clear()
            running = asyncio.create_task(h.engine.submit(h.job()))
            await until(lambda: runner.batches)
            late = asyncio.create_task(h.engine.submit(h.job(timeout_s=0.01)))
            await asyncio.sleep(0.05)
            runner.gate.set()
            await running
            with pytest.raises(DeadlineExceeded):
                await late
            assert len(runner.batches) == 1
            assert h.slots.in_use == 0

    asyncio.run(run())


class Poisoned(EchoRunner):
    """Fails on every batch that holds one of the poisoned slots."""

    def __init__(self, poisoned: set[int], error: Exception) -> None:
        super().__init__()
        self.poisoned, self.error = poisoned, error

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        if self.poisoned & set(slots):
            raise self.error
        return super().run(slots, top_ks, alone)


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(40, 63), max_size=6))
def test_one_bad_image_fails_alone(poisoned: set[int]) -> None:
    async def run() -> None:
        async with house(Poisoned(poisoned, ValueError("no")), Poisoned(poisoned, ValueError("no"))) as h:
            jobs = [h.job() for _ in range(24)]
            answers = await asyncio.gather(*(h.engine.submit(job) for job in jobs), return_exceptions=True)
            for job, answer in zip(jobs, answers, strict=True):
                assert isinstance(answer, InferenceFailed) == (job.slot in poisoned)
            assert h.slots.in_use == 0
            assert h.engine.status() is Status.READY

    asyncio.run(run())


class Breaking(Poisoned):
    """Fails at every image; its warm-up fails, too, once the device is `dead`."""

    dead = False

    def __init__(self) -> None:
        super().__init__(set(range(64)), RuntimeError("an illegal memory access was encountered"))

    def warm_up(self) -> None:
        if self.dead:
            raise self.error


def test_a_device_that_answers_nothing_any_more_has_failed() -> None:
    async def run() -> None:
        runner = Breaking()
        async with house(runner) as h:
            await h.engine.ready()
            for _ in range(4):  # it may have been the images
                with pytest.raises(InferenceFailed, match="on this image"):
                    await h.engine.submit(h.job())
            assert h.engine.status() is Status.READY
            runner.dead = True
            for _ in range(2):
                with pytest.raises(InferenceFailed):
                    await h.engine.submit(h.job())
            await until(lambda: h.engine.status() is Status.FAILED)
            assert h.slots.in_use == 0

    asyncio.run(run())


class Small(EchoRunner):
    """Has memory for two images."""

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        if len(slots) > 2:
            raise OutOfDeviceMemory("too large")
        return super().run(slots, top_ks, alone)


def test_a_batch_that_runs_out_of_memory_is_split() -> None:
    async def run() -> None:
        runner = Small()
        async with house(runner) as h:
            runner.gate.clear()
            tasks = [asyncio.create_task(h.engine.submit(h.job()))]
            await until(lambda: runner.batches)
            tasks += [asyncio.create_task(h.engine.submit(h.job())) for _ in range(8)]
            await until(lambda: h.engine.queue_depth == 8)
            runner.gate.set()
            answers = await asyncio.gather(*tasks)
            assert [a.scores.indices[0] for a in answers] == [63 - i for i in range(9)]
            assert max(len(batch) for batch in runner.batches) == 2
            assert h.observer.splits and all(h.observer.splits)

    asyncio.run(run())


class NotFinite(EchoRunner):
    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        return [Scores([math.nan], [0]) for _ in slots]


def test_scores_that_are_no_numbers_are_an_error() -> None:
    async def run() -> None:
        async with house(NotFinite()) as h:
            with pytest.raises(InferenceFailed, match="finite"):
                await h.engine.submit(h.job())

    asyncio.run(run())


def test_life_of_an_engine() -> None:
    async def run() -> None:
        runner = EchoRunner()
        async with house(runner, policy=BatchPolicy(max_waiting=1)) as h:
            assert h.engine.status() is Status.STARTING
            await h.engine.ready()
            assert h.engine.status() is Status.READY
            runner.gate.clear()
            running = asyncio.create_task(h.engine.submit(h.job()))
            await until(lambda: runner.batches)
            waiting = asyncio.create_task(h.engine.submit(h.job()))
            await until(lambda: h.engine.queue_depth == 1)
            with pytest.raises(Overloaded):
                await h.engine.submit(h.job())
            closing = asyncio.create_task(h.engine.aclose())
            await until(lambda: h.engine.status() is Status.DRAINING)
            with pytest.raises(Draining):
                await h.engine.submit(h.job())
            runner.gate.set()
            await closing
            assert (await running).batch_size == (await waiting).batch_size == 1  # both were accepted
            assert h.slots.in_use == 0

    asyncio.run(run())


def test_a_wedged_device_is_seen_and_closing_does_not_hang() -> None:
    async def run() -> None:
        runner = EchoRunner()
        config = EngineConfig(stall_timeout_s=0.05, drain_timeout_s=0.1)
        async with house(runner, config=config) as h:
            await h.engine.ready()
            runner.gate.clear()
            stuck = asyncio.create_task(h.engine.submit(h.job()))
            await until(lambda: h.engine.status() is Status.FAILED)
            await h.engine.aclose()
            with pytest.raises(EngineFailed):
                await stuck
            runner.gate.set()

    asyncio.run(run())
