import io
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.domain import PreprocessSpec
from app.errors import CorruptImage, NotAnImage, TooManyPixels
from app.imaging.pool import DecodePool
from app.imaging.price import DecodeLimits, Price

SPEC = PreprocessSpec(8, 8, crop_pct=1.0)
SMALL, LARGE = Price(0.001, 2**20), Price(3.0, 300 * 2**20)
OUT = np.zeros((8, 8, 3), np.uint8)


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[Any]]:
    """Decoding only notes what it was given, and lasts until the event is set for what begins with `slow`."""
    event, seen = threading.Event(), list[Any]()

    def preprocess(data: bytes, *_: object) -> None:
        seen.append(data)
        assert not data.startswith(b"slow") or event.wait(10)

    monkeypatch.setattr("app.imaging.pool.preprocess", preprocess)
    return event, seen


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_writes_each_picture_where_it_belongs() -> None:
    pool = DecodePool(2, SPEC, DecodeLimits())
    out = np.zeros((20, 8, 8, 3), np.uint8)
    futures = [pool.submit(png((i, 2 * i, 3 * i)), SMALL if i % 3 else LARGE, out[i]) for i in range(20)]
    for future in futures:
        future.result(10)
    pool.close()
    for i in range(20):
        assert (out[i] == (i, 2 * i, 3 * i)).all()


def test_a_bad_picture_fails_its_own_future() -> None:
    pool = DecodePool(1, SPEC, DecodeLimits())
    bad = pool.submit(png((1, 2, 3))[:-30], SMALL, OUT)
    good = pool.submit(png((1, 2, 3)), SMALL, OUT)
    with pytest.raises(CorruptImage):
        bad.result(10)
    good.result(10)
    pool.close()


def test_it_judges_by_the_header() -> None:
    pool = DecodePool(1, SPEC, DecodeLimits(max_pixels=64))
    assert pool.examine(png((1, 2, 3))).pixels == 64
    with pytest.raises(NotAnImage):
        pool.examine(b"hello")
    pool.close()
    with pytest.raises(TooManyPixels):
        DecodePool(1, SPEC, DecodeLimits(max_pixels=63)).examine(png((1, 2, 3)))


def test_what_is_cancelled_in_time_never_writes_and_keeps_no_bytes(gate: tuple[threading.Event, list[Any]]) -> None:
    hold, seen = gate
    pool = DecodePool(1, SPEC, DecodeLimits())
    blocker = pool.submit(b"slow", SMALL, OUT)
    data = png((9, 9, 9))
    before = sys.getrefcount(data)
    future = pool.submit(data, SMALL, OUT)
    assert sys.getrefcount(data) > before
    assert future.cancel()
    assert sys.getrefcount(data) == before
    hold.set()
    blocker.result(10)
    pool.close()
    assert seen == [b"slow"]


@pytest.mark.parametrize("large", [Price(3.0, 2**20), Price(0.001, 300 * 2**20)], ids=["long", "big"])
def test_large_pictures_do_not_stand_in_the_way(gate: tuple[threading.Event, list[Any]], large: Price) -> None:
    hold, seen = gate
    pool = DecodePool(2, SPEC, DecodeLimits())
    bombs = [pool.submit(b"slow %d" % i, large, OUT) for i in range(10)]
    until(lambda: bool(seen))
    for i in range(20):
        pool.submit(b"photograph %d" % i, SMALL, OUT).result(1)
    assert seen.count(b"slow 0") == 1 and b"slow 1" not in seen  # half as many threads as cores
    assert pool.wait_s(large) == pytest.approx(10 * large.seconds)
    assert pool.wait_s(SMALL) == 0
    assert pool.running_bytes == large.nbytes
    for bomb in bombs[1:]:
        bomb.cancel()
    assert pool.wait_s(large) == pytest.approx(large.seconds)  # who has left is not waited for
    hold.set()
    bombs[0].result(10)
    pool.close()
    assert len(seen) == 21 and pool.running_bytes == 0


def test_memory_is_shared_between_those_that_run(gate: tuple[threading.Event, list[Any]]) -> None:
    hold, seen = gate
    pool = DecodePool(8, SPEC, DecodeLimits(max_bytes=700 * 2**20))
    for i in range(4):
        pool.submit(b"slow %d" % i, LARGE, OUT)
    until(lambda: len(seen) == 2)
    time.sleep(0.05)
    assert len(seen) == 2 and pool.running_bytes == 2 * LARGE.nbytes  # four threads, but room for two
    hold.set()
    until(lambda: len(seen) == 4)
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
def test_large_pictures_are_decoded_at_low_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    nice: list[int] = []
    here = lambda *_: nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))  # noqa: E731
    monkeypatch.setattr("app.imaging.pool.preprocess", here)
    pool = DecodePool(1, SPEC, DecodeLimits())
    for cost in (SMALL, LARGE):
        pool.submit(b"", cost, OUT).result(10)
    pool.close()
    assert nice[1] >= nice[0] + 5


def test_it_knows_the_pace_of_ordinary_pictures(gate: tuple[threading.Event, list[Any]]) -> None:
    pool = DecodePool(2, SPEC, DecodeLimits())
    assert pool.seconds_per_image == 0
    pool.submit(b"", LARGE, OUT).result(10)
    assert pool.seconds_per_image == 0
    started_at = time.perf_counter()
    pool.submit(b"", SMALL, OUT).result(10)
    pool.close()
    assert 0 < pool.seconds_per_image < (time.perf_counter() - started_at) / 2


def test_closing_waits_for_no_decoder_beyond_its_time(gate: tuple[threading.Event, list[Any]]) -> None:
    pool = DecodePool(1, SPEC, DecodeLimits())
    running = pool.submit(b"slow", SMALL, OUT)
    waiting = pool.submit(b"", SMALL, OUT)
    until(running.running)
    started_at = time.monotonic()
    pool.close(started_at + 0.1)
    assert time.monotonic() - started_at < 1
    assert waiting.cancelled()
    assert pool.submit(b"", SMALL, OUT).cancelled()
    gate[0].set()
