"""Owns many images at a time, in bounded memory; does not classify one."""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Sized,
)
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, TypeVar

from vit_client.answers import Classification, Outcome, Progress
from vit_client.errors import VitError

T = TypeVar("T")


class Plan(NamedTuple):
    """How many at a time of at most so many, in which order, and who is told of it."""

    concurrency: int
    most: int
    ordered: bool
    progress: Callable[[Progress], object] | None
    clock: Callable[[], float]

    @property
    def window(self) -> int:
        """Images begun and not yet handed out; more than are under way, so that a slow one holds up none behind it."""
        return 2 * self.concurrency

    def check(self) -> None:
        """Raises ValueError for a concurrency that cannot be."""
        if not 1 <= self.concurrency <= self.most:
            raise ValueError(f"concurrency is {self.concurrency}; it must be 1 to connections, {self.most}")


class _Tally:
    """Counts outcomes, and tells."""

    def __init__(self, plan: Plan, images: object) -> None:
        self._plan, self._started_at = plan, plan.clock()
        self._total = len(images) if isinstance(images, Sized) else None
        self._done = self._failed = 0

    def count(self, outcome: Outcome[T]) -> Outcome[T]:
        self._done += 1
        self._failed += isinstance(outcome.result, VitError)
        if self._plan.progress is not None:
            elapsed_s = self._plan.clock() - self._started_at
            self._plan.progress(Progress(self._done, self._failed, self._total, elapsed_s))
        return outcome


def _bare(error: VitError) -> VitError:
    """Without where it was raised and why: both hold the image's bytes, and a caller may keep many errors."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def in_threads(
    classify: Callable[[T], Classification], images: Iterable[T], plan: Plan
) -> Generator[Outcome[T], None, None]:
    """Outcomes, in order or as they come. Raises ValueError at once."""
    plan.check()

    def one(index: int, image: T) -> Outcome[T]:
        try:
            return Outcome(index, image, classify(image))
        except VitError as error:
            return Outcome(index, image, _bare(error))

    def outcomes() -> Generator[Outcome[T], None, None]:
        tally, pending = _Tally(plan, images), deque[Future[Outcome[T]]]()

        def take() -> Outcome[T]:
            if not plan.ordered:
                first = next(iter(wait(pending, return_when=FIRST_COMPLETED).done))
                pending.remove(first)
                pending.appendleft(first)
            return tally.count(pending.popleft().result())

        pool = ThreadPoolExecutor(plan.concurrency, "vit-client")
        try:
            for index, image in enumerate(images):
                pending.append(pool.submit(one, index, image))
                while pending and (len(pending) == plan.window or pending[0].done()):
                    yield take()
            while pending:
                yield take()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return outcomes()


def in_tasks(
    classify: Callable[[T], Awaitable[Classification]], images: Iterable[T] | AsyncIterable[T], plan: Plan
) -> AsyncGenerator[Outcome[T], None]:
    """Outcomes, in order or as they come. Raises ValueError at once."""
    plan.check()
    turns = asyncio.Semaphore(plan.concurrency)

    async def one(index: int, image: T) -> Outcome[T]:
        async with turns:
            try:
                return Outcome(index, image, await classify(image))
            except VitError as error:
                return Outcome(index, image, _bare(error))

    async def outcomes() -> AsyncGenerator[Outcome[T], None]:
        tally, pending = _Tally(plan, images), deque[asyncio.Task[Outcome[T]]]()

        async def take() -> Outcome[T]:
            if not plan.ordered:
                done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                first = next(iter(done))
                pending.remove(first)
                pending.appendleft(first)
            return tally.count(await pending.popleft())

        index = 0
        try:
            async for image in _each(images):
                pending.append(asyncio.create_task(one(index, image)))
                index += 1
                while pending and (len(pending) == plan.window or pending[0].done()):
                    yield await take()
            while pending:
                yield await take()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    return outcomes()


async def _each(images: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:
        for image in images:
            yield image
