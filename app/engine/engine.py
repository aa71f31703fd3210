"""Owns the lanes: threads that pull batches, run them and answer their jobs; does not decide what a batch is."""

import asyncio
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from app.engine.client import (
    EngineConfig,
    NullObserver,
    Observer,
    Outcome,
    OutOfDeviceMemory,
    Runner,
    Scores,
    Status,
)
from app.engine.slots import SlotPool
from app.errors import DeadlineExceeded, EngineFailed, InferenceFailed, VitServeError
from app.pace import Pace
from app.scheduling.job import Job
from app.scheduling.scheduler import Scheduler

logger = logging.getLogger(__name__)
_BATCHES_IN_VAIN: Final = 3  # of which no image was answered, before the device itself is suspected
Answer = tuple[Job, Outcome | VitServeError]


class Engine:
    """The in-process EngineClient. Each lane is a thread with its own runner; lanes share the scheduler.

    A GPU has one lane. A CPU has several, each computing on one core when all are busy: two networks on one
    core each do more than one network on two.
    """

    def __init__(
        self,
        runners: Sequence[Runner],
        scheduler: Scheduler,
        slots: SlotPool,
        config: EngineConfig = EngineConfig(),  # noqa: B008 - frozen
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler, self._slots, self._config, self._clock = scheduler, slots, config, clock
        self._observer = observer or NullObserver()
        self._status = Status.STARTING
        self._futures: dict[int, asyncio.Future[Outcome]] = {}
        self._busy_since: dict[int, float] = {}
        self._warming_since: dict[int, float] = {}
        self._pace, self._batch_ids = Pace(len(runners)), itertools.count(1)
        self._cold = len(runners)
        self._lanes = [
            threading.Thread(target=self._lane, args=(i, runner), name=f"engine-{i}", daemon=True)
            for i, runner in enumerate(runners)
        ]

    def start(self) -> None:
        """Starts the lanes, which warm up first. Must be called from the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._warm: asyncio.Future[None] = self._loop.create_future()
        for lane in self._lanes:
            lane.start()

    async def ready(self) -> None:
        """Returns once every lane is warm. Raises what a warm-up raised."""
        await asyncio.shield(self._warm)

    def status(self) -> Status:
        """FAILED also while a batch, or a warm-up, has been on the device longer than its timeout."""
        now, config = self._clock(), self._config
        stuck = any(now - since > config.stall_timeout_s for since in list(self._busy_since.values()))
        cold = any(now - since > config.warm_up_timeout_s for since in list(self._warming_since.values()))
        return Status.FAILED if stuck or cold else self._status

    @property
    def queue_depth(self) -> int:
        """Jobs waiting for a lane."""
        return len(self._scheduler)

    @property
    def seconds_per_image(self) -> float:
        """Measured: how often an image leaves when all lanes are busy, 0 before the first; a running average."""
        return self._pace.seconds_per_image

    async def submit(self, job: Job) -> Outcome:
        """Queues a job and waits for its answer; if the waiter is cancelled, so is the job while it waits.

        The job's slot is the engine's from this call on. Raises Overloaded, Draining, DeadlineExceeded,
        InferenceFailed or EngineFailed.
        """
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._futures[job.id] = future
        try:
            self._scheduler.submit(job)
        except VitServeError:
            del self._futures[job.id]
            self._slots.release(job.slot)
            raise
        try:
            return await future
        finally:
            self._futures.pop(job.id, None)
            if self._scheduler.cancel(job.id):  # only the waiter's leaving finds the job still in the queue
                self._slots.release(job.slot)

    async def aclose(self, until: float | None = None) -> None:
        """Lets the lanes finish what waits, until that monotonic instant or within the drain timeout, then ends them.

        Whoever is left waiting behind a lane that is stuck gets EngineFailed.
        """
        if self._status is not Status.FAILED:
            self._status = Status.DRAINING
        self._scheduler.close()
        until = time.monotonic() + self._config.drain_timeout_s if until is None else until
        for lane in self._lanes:
            await asyncio.to_thread(lane.join, max(0.0, until - time.monotonic()))
        if any(lane.is_alive() for lane in self._lanes):
            self._fail(TimeoutError("a lane did not finish within the drain timeout"))

    def _lane(self, index: int, runner: Runner) -> None:
        try:
            self._warming_since[index] = self._clock()
            runner.warm_up()
            del self._warming_since[index]
            self._tell(self._lane_is_warm)
            in_vain = 0
            while (plan := self._scheduler.next_batch()) is not None:
                self._busy_since[index] = self._clock()
                answers: list[Answer] = [
                    (job, DeadlineExceeded("the deadline passed in the queue")) for job in plan.expired
                ]
                if plan.run:
                    answers += self._run(runner, plan.run)
                    in_vain = 0 if any(isinstance(answer, Outcome) for _, answer in answers) else in_vain + 1
                for job, _ in answers:
                    self._slots.release(job.slot)
                self._tell(self._settle, answers)
                if in_vain == _BATCHES_IN_VAIN:
                    in_vain = 0
                    runner.warm_up()  # a device that is broken for good fails here too, which ends this lane
                del self._busy_since[index]
        except BaseException as error:  # the last line of defence: nobody may wait for a dead lane
            told = isinstance(error, InferenceFailed)  # by the network's own numbers, which no line of code explains
            logger.error("engine lane %d died: %s", index, error, exc_info=None if told else error)
            self._tell(self._fail, error)

    def _run(self, runner: Runner, jobs: Sequence[Job]) -> list[Answer]:
        """Runs a batch; if it fails it is split, so that only what is really at fault fails."""
        started_at = self._clock()
        alone = len(self._busy_since) == 1 and not len(self._scheduler)
        try:
            results = runner.run([job.slot for job in jobs], [job.top_k for job in jobs], alone)
        except Exception as error:
            if len(jobs) > 1:
                logger.warning("a batch of %d failed (%r); trying its halves", len(jobs), error)
                self._observer.split(isinstance(error, OutOfDeviceMemory))
                half = len(jobs) // 2
                return self._run(runner, jobs[:half]) + self._run(runner, jobs[half:])
            logger.exception("inference failed")
            failure = InferenceFailed("the forward pass failed on this image")
            failure.__cause__ = error
            return [(jobs[0], failure)]
        inference_s = self._clock() - started_at
        self._observe(jobs, started_at, inference_s)
        batch = inference_s, len(jobs), next(self._batch_ids)
        return [(job, self._outcome(job, scores, started_at, batch)) for job, scores in zip(jobs, results, strict=True)]

    def _observe(self, jobs: Sequence[Job], started_at: float, inference_s: float) -> None:
        self._pace.add(len(jobs), inference_s)
        self._observer.batch(len(jobs), inference_s)
        for job in jobs:
            self._observer.stage("queue", started_at - job.submitted_at)
            self._observer.stage("inference", inference_s)

    def _outcome(
        self, job: Job, scores: Scores, started_at: float, batch: tuple[float, int, int]
    ) -> Outcome | InferenceFailed:
        if not all(map(math.isfinite, scores.scores[:1] if scores.indices else scores.scores)):
            return InferenceFailed("the network gave no finite scores for this image")
        return Outcome(scores, started_at - job.submitted_at, *batch)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # of a loop that is closed: this lane was stuck, and closing did not wait for it
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _lane_is_warm(self) -> None:
        self._cold -= 1
        if self._cold == 0 and self._status is Status.STARTING:
            self._status = Status.READY
            self._warm.set_result(None)

    def _settle(self, answers: Sequence[Answer]) -> None:
        for job, answer in answers:
            future = self._futures.get(job.id)
            if future is None or future.done():  # the caller has gone
                continue
            if isinstance(answer, VitServeError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _fail(self, error: BaseException) -> None:
        self._status = Status.FAILED
        if not self._warm.done():
            self._warm.set_exception(error)
        for job in self._scheduler.abandon():
            self._slots.release(job.slot)
        for future in self._futures.values():
            if not future.done():
                future.set_exception(EngineFailed("the engine has failed"))
