import io
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from app.domain import PreprocessSpec
from app.errors import NotAnImage
from app.imaging.decode import DecodeLimits
from app.imaging.pool import DecodePool

SPEC = PreprocessSpec(8, 8, crop_pct=1.0)


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_writes_each_picture_where_it_belongs() -> None:
    pool = DecodePool(2, SPEC, DecodeLimits())
    out = np.zeros((20, 8, 8, 3), np.uint8)
    futures = [pool.submit(png((i, 2 * i, 3 * i)), out[i]) for i in range(20)]
    for future in futures:
        future.result(10)
    pool.close()
    for i in range(20):
        assert (out[i] == (i, 2 * i, 3 * i)).all()


def test_a_bad_picture_fails_its_own_future() -> None:
    pool = DecodePool(1, SPEC, DecodeLimits())
    bad = pool.submit(b"hello", np.zeros((8, 8, 3), np.uint8))
    good = pool.submit(png((1, 2, 3)), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(NotAnImage):
        bad.result(10)
    good.result(10)
    pool.close()


def test_what_is_cancelled_in_time_never_writes() -> None:
    pool = DecodePool(1, SPEC, DecodeLimits())
    hold = threading.Event()
    blocker = pool._executor.submit(hold.wait, 10)
    out = np.zeros((8, 8, 3), np.uint8)
    future = pool.submit(png((9, 9, 9)), out)
    assert future.cancel()
    hold.set()
    blocker.result(10)
    pool.close()
    assert not out.any()


def test_its_threads_compute_on_one_core() -> None:
    pool = DecodePool(1, SPEC, DecodeLimits())
    assert pool._executor.submit(torch.get_num_threads).result(10) == 1
    pool.close()


def test_what_is_cancelled_keeps_no_bytes() -> None:
    pool = DecodePool(1, SPEC, DecodeLimits())
    hold = threading.Event()
    blocker = pool._executor.submit(hold.wait, 10)
    data = png((9, 9, 9))
    before = sys.getrefcount(data)
    future = pool.submit(data, np.zeros((8, 8, 3), np.uint8))
    assert sys.getrefcount(data) > before
    assert future.cancel()
    assert sys.getrefcount(data) == before
    hold.set()
    blocker.result(10)
    pool.close()


def test_it_knows_its_pace() -> None:
    pool = DecodePool(2, SPEC, DecodeLimits())
    assert pool.seconds_per_image == 0
    started_at = time.perf_counter()
    pool.submit(png((1, 2, 3)), np.zeros((8, 8, 3), np.uint8)).result(10)
    pool.close()
    assert 0 < pool.seconds_per_image < (time.perf_counter() - started_at) / 2
