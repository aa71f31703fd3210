"""What a request may send and how: bytes in memory, their rate, their compression, its parameters."""

import asyncio
import gzip
import zlib
from collections.abc import Callable

import pytest

from tests.api.conftest import picture, service


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


async def test_bodies_are_bounded_by_their_bytes_not_their_number() -> None:
    body = picture(size=300) + bytes(2000)
    async with service(max_bodies_bytes=3 * len(body)) as s:

        async def slow(waits: asyncio.Event):
            yield body[:100]
            await waits.wait()
            yield body[100:]

        waits = asyncio.Event()
        senders = [asyncio.create_task(s.client.post("/v1/classify", content=slow(waits))) for _ in range(25)]
        await asyncio.sleep(0.1)
        assert s.counted("vit_bodies_bytes") == 2500
        assert (await s.client.post("/v1/classify", content=body)).status_code == 200  # nobody holds a place
        waits.set()
        answers = await asyncio.gather(*senders)
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused and all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert {answer.status_code for answer in answers} == {200, 503}
        assert (await s.client.get("/readyz")).status_code == 200
        assert s.counted("vit_bodies_bytes") == 0


async def test_a_body_must_keep_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.body._GRACE_S", 0.2)

    async def dribble(pause_s: float):
        for byte in picture():
            yield bytes([byte])
            await asyncio.sleep(pause_s)

    async with service(min_body_bytes_per_s=200) as s:
        slow = await s.client.post("/v1/classify", content=dribble(0.02))
        assert (slow.status_code, slow.json()["code"]) == (408, "body_timeout")
        assert (await s.client.post("/v1/classify", content=dribble(0.001))).status_code == 200


@pytest.mark.parametrize(
    ("query", "said"), [("topk=3", "top_k"), ("top_k=3&TOP_K=3", "top_k"), ("x=1", "top_k"), ("a" * 1025, "1024")]
)
async def test_unknown_parameters_are_told(query: str, said: str) -> None:
    async with service() as s:
        answer = await s.client.post(f"/v1/classify?{query}", content=picture())
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_parameter")
        assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("gzip", lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:])),
        ("identity", bytes),
    ],
)
async def test_compressed_bodies(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    async with service() as s:
        headers = {"Content-Encoding": encoding}
        answer = await s.client.post("/v1/classify", content=compress(picture()), headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("encoding", "content", "status", "code"),
    [
        ("br", b"abc", 415, "unsupported_encoding"),
        ("gzip, gzip", b"abc", 415, "unsupported_encoding"),
        ("gzip", b"abc", 400, "malformed_request"),
        ("gzip", gzip.compress(bytes(1000))[:-9], 400, "malformed_request"),
        ("gzip", gzip.compress(bytes(2**20)), 413, "body_too_large"),
        ("deflate", zlib.compress(bytes(2**20)), 413, "body_too_large"),
        ("gzip", gzip.compress(b""), 400, "empty_body"),
    ],
)
async def test_compressed_bodies_that_are_refused(encoding: str, content: bytes, status: int, code: str) -> None:
    async with service(max_body_bytes=100_000) as s:
        answer = await s.client.post("/v1/classify", content=content, headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert ("accept-encoding" in answer.headers) == (status == 415)
        assert s.counted("vit_bodies_bytes") == 0


async def test_the_pixels_of_a_request_are_bounded_together() -> None:
    async with service(max_pixels_per_request=3 * 1600) as s:
        files = [("image", picture())] * 4
        answer = await s.client.post("/v1/classify", files=files)
        assert (answer.status_code, answer.json()["code"]) == (422, "too_many_pixels")
        assert (await s.client.post("/v1/classify", files=files[:3])).status_code == 200


async def test_who_asks_for_few_classes_does_not_pay_for_who_asks_for_many() -> None:
    async with service(max_top_k=7) as s:
        few, many = await asyncio.gather(*(s.client.post(f"/v1/classify?top_k={k}", content=picture()) for k in (1, 7)))
        assert [len(answer.json()["predictions"]) for answer in (few, many)] == [1, 7]
        refused = await s.client.post("/v1/classify?top_k=8", content=picture())
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_top_k")
        assert "7" in refused.json()["error"]
