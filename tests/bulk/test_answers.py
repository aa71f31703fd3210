"""Owns the tests of bulk/answers.py."""

import asyncio
from collections.abc import Iterable, Iterator

import pytest

from app.bulk import answers
from app.bulk.answers import Failure, answer_in_order
from app.bulk.images import Image, failing, given
from app.bulk.threads import Daemons
from app.domain import Classification, Timing
from app.errors import CorruptImage, EngineFailed, Overloaded

Outcome = Classification | Failure


@pytest.fixture
def threads() -> Iterator[Daemons]:
    with Daemons(4) as pool:
        yield pool


class FakeClassifier:
    """Answers by the first byte: its number of event loop turns to take; remembers how many were at work at once."""

    def __init__(self, refusals: int = 0) -> None:
        self.working = self.most = self.calls = 0
        self.refusals = refusals

    async def classify(self, data: bytes) -> Classification:
        self.calls += 1
        if self.refusals:
            self.refusals -= 1
            raise Overloaded("full", retry_after_s=0.0)
        self.working += 1
        self.most = max(self.most, self.working)
        for _ in range(data[0]):
            await asyncio.sleep(0)
        self.working -= 1
        if data[0] == 13:
            raise CorruptImage("unlucky")
        return Classification(str(data[0]), (), Timing(0, 0, 0, 0), 1)


class EndlessClassifier(FakeClassifier):
    """Never answers; `busy` is set once four images are at work."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = asyncio.Event()

    async def classify(self, data: bytes) -> Classification:
        self.working += 1
        if self.working == 4:
            self.busy.set()
        await asyncio.Event().wait()
        raise AssertionError


def images(numbers: Iterable[int], size: int = 1) -> Iterator[Image]:
    return (Image(str(n), str(n), given(bytes([n])), size=size) for n in numbers)


async def collect(fake: FakeClassifier, numbers: list[int], in_flight: int, threads: Daemons) -> list[Outcome]:
    found = [each async for each in answer_in_order(images(numbers), fake.classify, in_flight, threads)]
    assert [image.id for image, _ in found] == [str(number) for number in numbers]
    return [outcome for _, outcome in found]


def models(outcomes: list[Outcome]) -> list[str]:
    return [outcome.model for outcome in outcomes if isinstance(outcome, Classification)]


async def test_answers_keep_the_order_whatever_finishes_first(threads: Daemons):
    outcomes = await collect(FakeClassifier(), [40, 1, 30, 13, 2, 20, 3], 4, threads)
    assert models(outcomes) == ["40", "1", "30", "2", "20", "3"]
    assert outcomes[3] == Failure("unlucky", "corrupt_image")


async def test_no_more_are_at_work_than_allowed(threads: Daemons):
    fake = FakeClassifier()
    await collect(fake, [50] * 40, 3, threads)
    assert (fake.most, fake.working) == (3, 0)


async def test_a_full_queue_is_tried_again_later(threads: Daemons):
    fake = FakeClassifier(refusals=3)
    assert models(await collect(fake, [1, 2], 2, threads)) == ["1", "2"]
    assert fake.calls == 5


async def test_what_cannot_be_read_keeps_its_code(threads: Daemons):
    broken = iter([Image("a", "a", failing("gone", "unreadable_url"))])
    found = [each async for each in answer_in_order(broken, FakeClassifier().classify, 2, threads)]
    assert found[0][1] == Failure("gone", "unreadable_url")


async def test_large_images_wait_for_each_other(threads: Daemons, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "_HELD_BYTES", 100)
    fake = FakeClassifier()
    assert len([each async for each in answer_in_order(images([20] * 9, 60), fake.classify, 9, threads)]) == 9
    assert fake.most == 2


async def test_answers_are_given_while_the_next_image_is_slow_to_come(threads: Daemons):
    goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow() -> Iterator[Image]:
        yield from images([1])
        asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result(10)
        yield from images([2])

    found = answer_in_order(slow(), FakeClassifier().classify, 8, threads)
    assert (await anext(found))[0].id == "1"
    goes_on.set()
    assert (await anext(found))[0].id == "2"


async def test_a_device_that_has_failed_ends_the_run(threads: Daemons):
    async def fail(data: bytes) -> Classification:
        raise EngineFailed("gone")

    with pytest.raises(EngineFailed):
        _ = [each async for each in answer_in_order(images([1, 2, 3]), fail, 8, threads)]


async def test_work_that_nobody_waits_for_is_cancelled(threads: Daemons):
    fake = EndlessClassifier()
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(anext(answer_in_order(images([1] * 4), fake.classify, 4, threads)))
    await fake.busy.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for _ in range(10):  # a task that is cancelled ends within a few turns
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_thread_that_hangs_keeps_nobody(threads: Daemons):
    """`Daemons` is left while one of its threads waits for ever."""
    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()
    with Daemons(1) as pool:
        work = pool.submit(lambda: asyncio.run_coroutine_threadsafe(hanging.wait(), loop).result(30))
    assert not work.done()
    hanging.set()
    await asyncio.wrap_future(work)
