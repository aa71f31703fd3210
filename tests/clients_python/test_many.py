"""Owns the tests of many images at a time, through both clients."""

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from vit_client import AsyncClient, Classification, Client, Image, Outcome, Progress, VitError

from tests.clients_python.conftest import ANSWER, Door, refusal

CODES = {b"good": "", b"bad": "corrupt_image", b"lost": "no_answer"}


class Service:
    """Answers each image after a time; knows how many were there at once."""

    def __init__(self, delay_s: Callable[[bytes], float] = lambda _: 0.0) -> None:
        self.delay_s, self.now, self.most, self.asked = delay_s, 0, 0, 0
        self._lock = threading.Lock()

    def _enter(self) -> None:
        with self._lock:
            self.now, self.asked = self.now + 1, self.asked + 1
            self.most = max(self.most, self.now)

    def _leave(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.now -= 1
        if request.content.startswith(b"lost"):
            raise httpx.LocalProtocolError("lost", request=request)
        return refusal(422, "corrupt_image") if request.content.startswith(b"bad") else httpx.Response(200, json=ANSWER)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self._enter()
        time.sleep(self.delay_s(request.content))
        return self._leave(request)

    async def answer_async(self, request: httpx.Request) -> httpx.Response:
        self._enter()
        try:
            await asyncio.sleep(self.delay_s(request.content))
        finally:
            told = self._leave(request)
        return told


def many(
    door: Door, service: Service, images: Iterable[Any], take: int | None = None, **options: Any
) -> list[Outcome[Any]]:
    """The outcomes, of which `take` are waited for and the rest is left."""
    taken = list[Outcome[Any]]()

    async def ask() -> None:
        async with AsyncClient("http://server", transport=httpx.MockTransport(service.answer_async)) as client:
            async with aclosing(client.classify_many(images, **options)) as outcomes:
                async for outcome in outcomes:
                    taken.append(outcome)
                    if len(taken) == take:
                        break
            assert len(asyncio.all_tasks()) == 1

    if door.kind == "async":
        asyncio.run(ask())
        return taken
    transport = httpx.MockTransport(service.answer)
    with (
        Client("http://server", transport=transport) as client,
        closing(client.classify_many(images, **options)) as each,
    ):
        for outcome in each:
            taken.append(outcome)
            if len(taken) == take:
                break
    return taken


def test_they_come_in_order_whatever_takes_long(door: Door) -> None:
    service = Service(lambda body: 0.2 if body == b"0" else 0.005)
    images = [str(i).encode() for i in range(40)]
    outcomes = many(door, service, images, concurrency=4)
    assert [(outcome.index, outcome.image) for outcome in outcomes] == list(enumerate(images))
    assert all(isinstance(outcome.result, Classification) for outcome in outcomes)
    assert service.most == 4


def test_or_as_they_are_ready(door: Door) -> None:
    service = Service(lambda body: 0.5 if body == b"0" else 0.005)
    outcomes = many(door, service, [str(i).encode() for i in range(20)], concurrency=4, ordered=False)
    assert outcomes[-1].image == b"0"
    assert sorted(outcome.index for outcome in outcomes) == list(range(20))


def test_an_error_is_an_outcome_like_others(door: Door) -> None:
    images: list[Image | None] = [b"good", b"bad", "/nowhere", None, b"good"]
    outcomes = many(door, Service(), images)
    codes = [getattr(outcome.result, "code", "") for outcome in outcomes]
    assert codes == ["", "corrupt_image", "unreadable_image", "unreadable_image", ""]
    assert outcomes[0].unwrap().best.label == "cat"
    with pytest.raises(VitError, match="it is corrupt_image"):
        outcomes[1].unwrap()


@pytest.mark.parametrize("ordered", [True, False])
def test_images_are_asked_for_as_they_are_needed(door: Door, ordered: bool) -> None:
    asked = handed = furthest = 0

    def images() -> Iterator[bytes]:
        nonlocal asked, furthest
        for _ in range(2000):
            asked += 1
            furthest = max(furthest, asked - handed)
            yield b"good"

    def count(progress: Progress) -> None:
        nonlocal handed
        handed = progress.done

    outcomes = many(door, Service(), images(), concurrency=3, ordered=ordered, progress=count)
    assert (len(outcomes), handed, asked) == (2000, 2000, 2000)
    assert furthest <= 6


@pytest.mark.parametrize("start", [b"good", b"bad", b"lost"])
def test_nothing_holds_the_bytes_of_what_was_sent(door: Door, start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(start + bytes(2_000_000))
    gc.disable()  # a cycle would hold them as well, for as long as it takes
    tracemalloc.start()
    try:
        outcomes = many(door, Service(), [path] * 30, concurrency=2)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert {getattr(outcome.result, "code", "") for outcome in outcomes} == {CODES[start]}
    assert kept < 10_000_000


def test_progress_counts_and_has_a_rate(door: Door) -> None:
    told = list[Progress]()
    many(door, Service(lambda _: 0.01), [b"good", b"bad", b"good"], progress=told.append)
    assert [(each.done, each.failed, each.total) for each in told] == [(1, 0, 3), (2, 1, 3), (3, 1, 3)]
    assert told[-1].images_per_s == pytest.approx(3 / told[-1].elapsed_s)
    many(door, Service(), iter([b"good"]), progress=told.append)
    assert told[-1].total is None


def test_who_has_seen_enough_leaves_at_once(door: Door) -> None:
    service = Service(lambda body: 0.0 if body == b"0" else 0.6)
    started_at = time.monotonic()
    [first] = many(door, service, (str(i).encode() for i in range(1000)), take=1, concurrency=4)
    assert first.image == b"0" and time.monotonic() - started_at < 0.5
    time.sleep(0.7)
    assert service.asked <= 9


def test_what_the_source_raises_passes_through(door: Door) -> None:
    def images() -> Iterator[bytes]:
        yield b"good"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        many(door, Service(), images())


@pytest.mark.parametrize("concurrency", [0, -1, 33])
def test_a_concurrency_that_cannot_be_is_said_at_once(door: Door, concurrency: int) -> None:
    with pytest.raises(ValueError, match="it must be 1 to connections, 32"):
        many(door, Service(), [], concurrency=concurrency)


async def test_an_asynchronous_source_is_one_too() -> None:
    async def images() -> AsyncIterator[bytes]:
        for i in range(5):
            await asyncio.sleep(0)
            yield str(i).encode()

    async with AsyncClient("http://server", transport=httpx.MockTransport(Service().answer_async)) as client:
        outcomes = [outcome async for outcome in client.classify_many(images(), concurrency=2)]
    assert [outcome.image for outcome in outcomes] == [b"0", b"1", b"2", b"3", b"4"]


def test_closing_ends_what_waits() -> None:
    refused = threading.Event()

    def answer(_: httpx.Request) -> httpx.Response:
        refused.set()
        return refusal(503, "overloaded", retry_after="20")

    def ask() -> None:
        with suppress(RuntimeError):  # httpx: the client is closed
            list(client.classify_many([b"good"]))

    with Client("http://server", transport=httpx.MockTransport(answer)) as client:
        waiting = threading.Thread(target=ask, daemon=True)
        waiting.start()
        assert refused.wait(5)
        time.sleep(0.05)
    waiting.join(2)
    assert not waiting.is_alive()
