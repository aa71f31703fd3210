"""Owns pictures → answers, many at a time, in their order; does not know where they lie or what becomes of answers."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from app.bulk.images import MOST_BYTES, Image, Unreadable
from app.classifier import Classifier
from app.domain import Classification
from app.errors import Unavailable, VitServeError
from app.scheduling.patience import until_taken

_HELD_BYTES: Final = MOST_BYTES  # of pictures being worked on; the one that goes beyond is the last
Ask = Callable[[bytes], Awaitable[Classification]]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one image has no answer: a sentence, and a stable code."""

    error: str
    code: str


def busy(classifier: Classifier) -> int:
    """How many images at work keep it busy: twice what it takes at a time, for the next are being read and decoded."""
    return min(2 * classifier.info.lanes * classifier.info.max_batch_size, classifier.slots)


async def answer_in_order(
    images: Iterator[Image], ask: Ask, in_flight: int, threads: Executor
) -> AsyncGenerator[tuple[Image, Classification | Failure], None]:
    """What became of each image, in their order, as soon as it is known; of any number of them, in the same memory.

    `in_flight` at most are being worked on, and some hundred MB of them; `threads` take from `images`, one at a time,
    and read. Raises EngineFailed, NotReady or Draining: then nothing is known of the images.
    """
    loop = asyncio.get_running_loop()

    def take() -> asyncio.Future[Image | None]:
        return loop.run_in_executor(threads, next, images, None)

    pending: deque[tuple[Image, asyncio.Task[Classification | Failure]]] = deque()
    coming: asyncio.Future[Image | None] | None = take()
    held = 0
    try:
        while pending or coming:
            room = len(pending) < in_flight and held < _HELD_BYTES
            awaited: set[asyncio.Future[object]] = {coming} if coming and room else set()  # type: ignore[arg-type]
            if pending:
                awaited.add(pending[0][1])  # type: ignore[arg-type]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if pending and pending[0][1].done():
                image, task = pending.popleft()
                held -= image.size
                yield image, task.result()
            elif coming and coming.done():
                if (taken := coming.result()) is None:
                    coming = None
                    continue
                pending.append((taken, asyncio.create_task(_answer(taken, ask, threads))))
                held += taken.size
                coming = take()
    finally:
        for _, task in pending:
            if not task.cancel() and not task.cancelled():
                task.exception()  # or asyncio would complain that nobody has looked


async def _answer(image: Image, ask: Ask, threads: Executor) -> Classification | Failure:
    try:
        data = await asyncio.get_running_loop().run_in_executor(threads, image.read)
        return await until_taken(lambda: ask(data))
    except Unreadable as error:
        return Failure(str(error), error.code)
    except Unavailable:
        raise
    except VitServeError as error:
        return Failure(str(error), error.code)
