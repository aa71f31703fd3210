"""What decoding may hold at once, what it lets go of, and whom it wakes."""

import threading
import time
from typing import Any

import pytest

from app.imaging.pool import DecodePool
from app.imaging.price import DecodeLimits, Price
from tests.imaging.test_pool import LARGE, OUT, SMALL, SPEC, gate, until

__all__ = ["gate"]  # a fixture
MIB = 2**20
Gate = tuple[threading.Event, list[Any]]


def test_what_is_large_depends_on_the_memory_there_is(gate: Gate) -> None:
    middling = Price(0.001, 20 * MIB)
    for limit, large in ((512, False), (64, True)):
        pool = DecodePool(1, SPEC, DecodeLimits(max_bytes=limit * MIB))
        assert (pool._lane(middling) is pool._large) == large
        pool.close()


def test_ordinary_pictures_share_half_as_much_memory(gate: Gate) -> None:
    hold, seen = gate
    pool = DecodePool(8, SPEC, DecodeLimits(max_bytes=200 * MIB))
    futures = [pool.submit(b"slow", Price(0.001, 40 * MIB), OUT) for _ in range(4)]
    until(lambda: len(seen) == 2)
    time.sleep(0.05)
    assert len(seen) == 2 and pool.running_bytes == 80 * MIB
    hold.set()
    for future in futures:
        future.result(10)
    pool.close()


def test_a_picture_that_needs_more_than_all_runs_alone(gate: Gate) -> None:
    pool = DecodePool(4, SPEC, DecodeLimits(max_bytes=LARGE.nbytes // 2))
    for _ in range(2):
        pool.submit(b"", LARGE, OUT).result(10)
    pool.close()


def test_memory_that_is_free_again_wakes_all_who_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    gates, seen = {b"large": threading.Event(), b"small": threading.Event()}, list[bytes]()

    def preprocess(data: bytes, *_: object) -> None:
        seen.append(data)
        assert gates[data].wait(10)

    monkeypatch.setattr("app.imaging.pool.preprocess", preprocess)
    pool = DecodePool(4, SPEC, DecodeLimits(max_bytes=350 * MIB))
    pool.submit(b"large", LARGE, OUT)
    until(lambda: len(seen) == 1)
    for _ in range(2):
        pool.submit(b"small", Price(3.0, 100 * MIB), OUT)
    time.sleep(0.05)
    assert seen == [b"large"]
    gates[b"large"].set()
    until(lambda: len(seen) == 3)  # both at once, though only one thread has become idle
    gates[b"small"].set()
    pool.close()


def test_when_all_is_done_nobody_waits(gate: Gate) -> None:
    pool = DecodePool(2, SPEC, DecodeLimits())
    for cost in (SMALL, LARGE):
        pool.submit(b"", cost, OUT).result(10)
    until(lambda: pool.wait_s(LARGE) == 0 and pool.running_bytes == 0)
    pool.close()


def test_the_end_of_the_process_waits_for_no_decoder(gate: Gate) -> None:
    pool = DecodePool(3, SPEC, DecodeLimits())
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    assert len(threads) >= 4 and all(thread.daemon for thread in threads)
    pool.close()
