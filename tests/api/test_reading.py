"""How long a body may take, and what of it is counted."""

import asyncio
import base64
import gzip
import io
import random
import time
import tracemalloc
import zlib

import pytest
from PIL import Image

from app.api.encoding import decompress
from app.errors import BodyTooLarge
from tests.api.conftest import picture, service

URL = "/v1/classify"


async def dribble(body: bytes, pause_s: float):
    for byte in body:
        yield bytes([byte])
        await asyncio.sleep(pause_s)


async def test_the_requests_own_time_is_less_than_the_grace() -> None:
    async with service() as s:
        started_at = time.monotonic()
        answer = await s.client.post(URL, content=dribble(bytes(1000), 0.05), headers={"X-Request-Timeout-Ms": "100"})
        assert (answer.status_code, answer.json()["code"]) == (408, "body_timeout")
        assert time.monotonic() - started_at < 3


async def test_the_least_number_of_milliseconds_is_not_none() -> None:
    async with service() as s:
        answer = await s.client.post(URL, content=picture(), headers={"X-Request-Timeout-Ms": "4e-324"})
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_who_keeps_ahead_may_take_longer_than_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.body._GRACE_S", 0.1)
    async with service(min_body_bytes_per_s=10) as s:
        answer = await s.client.post(URL, content=dribble(picture(), 0.004))
        assert answer.status_code == 200, answer.text


async def test_no_least_rate_is_none() -> None:
    async with service(min_body_bytes_per_s=0) as s:
        assert (await s.client.post(URL, content=dribble(picture(), 0.0))).status_code == 200


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_what_a_body_becomes_is_counted(encoding: str, compress) -> None:
    async with service(max_bodies_bytes=60_000) as s:
        content = compress(picture() + bytes(100_000))
        answer = await s.client.post(URL, content=content, headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert s.counted("vit_bodies_bytes") == 0


async def test_what_is_unpacked_is_counted_too() -> None:
    noise = io.BytesIO()
    Image.frombytes("L", (400, 400), random.Random(0).randbytes(160_000)).save(noise, "PNG")
    document = {"image": base64.b64encode(noise.getvalue()).decode()}
    async with service(max_bodies_bytes=300_000) as s:
        answer = await s.client.post(URL, json=document)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert (await s.client.post(URL, content=noise.getvalue())).status_code == 200
        assert s.counted("vit_bodies_bytes") == 0
    async with service(max_bodies_bytes=400_000) as s:
        assert (await s.client.post(URL, json=document)).status_code == 200


async def test_one_picture_may_not_have_more_pixels_than_a_request() -> None:
    async with service(max_pixels_per_request=1599) as s:
        answer = await s.client.post(URL, content=picture())
        assert (answer.status_code, answer.json()["code"]) == (422, "too_many_pixels")


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_is_undone_bit_by_bit(encoding: str, compress) -> None:
    whole = bytes(3 * 2**20) + random.Random(0).randbytes(2**20) + bytes(3 * 2**20)
    assert decompress(compress(whole), encoding, len(whole)) == whole
    packed = compress(bytes(64 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decompress(packed, encoding, 10_000)
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


async def test_one_picture_may_not_take_more_memory_than_all() -> None:
    async with service(max_decode_bytes=2**20) as s:
        answer = await s.client.post(URL, content=picture())
        assert (answer.status_code, answer.json()["code"]) == (422, "too_many_pixels")
        assert "memory" in answer.json()["error"]
