import asyncio
import json
from dataclasses import replace

import pytest

from app.api.connection.limits import ConnectionLimits
from tests.api.connection.conftest import CHUNKED, GET, POST, Connect, Echo, answer_of, ended, listening

MAX_HEADER_BYTES, MAX_PIPELINED = ConnectionLimits().max_head_bytes, ConnectionLimits().max_pipelined


def patient(idle_s: float = 9, header_s: float = 9, **more: int) -> Echo:
    """An application behind connections with other timeouts."""
    app = Echo()
    app.limits = replace(app.limits, keep_alive_s=idle_s, header_timeout_s=header_s, **more)
    return app


def check_refusal(received: bytes, status: bytes, code: str) -> None:
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in head and b"content-type: application/json" in head
    assert b"content-length: %d" % len(body) in head
    document = json.loads(body)
    assert set(document) == {"error", "code", "request_id"}
    assert document["code"] == code
    assert document["request_id"].encode() in head


async def test_a_request_is_answered_and_the_connection_kept(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    for body in (b"one", b"two"):
        writer.write(POST + b"Content-Length: 3\r\n\r\n" + body)
        assert (await answer_of(reader))[1] == body


@pytest.mark.parametrize(
    "attack",
    [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n",
    ],
    ids=range(12),
)
async def test_what_is_not_http_is_refused_in_our_form(echo: tuple[Echo, Connect], attack: bytes) -> None:
    reader, writer = await echo[1]()
    writer.write(attack)
    check_refusal(await ended(reader), b"400 Bad Request", "malformed_http")


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /", b"a"),
        (b"GET / HTTP/1.1\r\nA: ", b"a"),
        (b"GET / HTTP/1.1\r\n", b"Name: value\r\n"),
        (b"", b"\r\n"),
        (CHUNKED + b"1\r\na\r\n0\r\nA: ", b"a"),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"Name: value\r\n"),
        (CHUNKED + b"1;", b"a"),
    ],
    ids=["url", "header", "headers", "line ends", "trailer", "trailers", "chunk extension"],
)
async def test_endless_heads_are_refused(echo: tuple[Echo, Connect], start: bytes, piece: bytes) -> None:
    app, connect = echo
    reader, writer = await connect()
    writer.write(start)
    for _ in range(MAX_HEADER_BYTES // 4096 + 1):  # a read may take 256 KiB at once, so not faster than it reads
        writer.write(piece * (4096 // len(piece) + 1))
        await asyncio.sleep(0.001)
    check_refusal(await ended(reader), b"431 Request Header Fields Too Large", "headers_too_large")
    assert app.gone == start.startswith(CHUNKED)


async def test_a_long_body_in_small_pieces_is_no_endless_head(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    writer.write(CHUNKED)
    for _ in range(50):
        writer.write(b"1\r\na\r\n" * 1000)
        await asyncio.sleep(0.001)
    writer.write(b"0\r\n\r\n")
    assert (await answer_of(reader))[1] == b"a" * 50_000


async def test_slow_headers_end_the_connection() -> None:
    app = patient(header_s=0.1)
    async with listening(app) as connect:
        reader, writer = await connect()
        for byte in b"GET / HTTP/1.1\r\nHost":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        check_refusal(await ended(reader), b"408 Request Timeout", "header_timeout")
    assert app.counter.refusals == [408] and app.counter.closed == ["header_timeout"]


async def test_idle_connections_end() -> None:
    app = patient(idle_s=0.1)
    async with listening(app) as connect:
        assert await ended((await connect())[0]) == b""  # never said a word
        reader, writer = await connect()
        writer.write(GET)
        await answer_of(reader)
        assert await ended(reader) == b""
    assert app.counter.closed == ["idle_timeout"] * 2


async def test_a_slow_answer_is_no_idle_connection() -> None:
    app = patient(idle_s=0.1, header_s=0.1)
    app.delay_s = 0.3
    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(POST + b"Content-Length: 3\r\n\r\nabc")
        assert (await answer_of(reader))[1] == b"abc"


async def test_a_refused_body_is_read_on_for_a_while() -> None:
    async with listening(patient(idle_s=0.6)) as connect:
        reader, writer = await connect()
        writer.write(b"POST /refuse HTTP/1.1\r\nHost: test\r\nContent-Length: 2000000\r\n\r\n")
        writer.write(b"x" * 2_000_000)
        await writer.drain()
        assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 200")
        writer.write(GET)  # the same connection goes on
        assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 200")
        writer.write(b"POST /refuse HTTP/1.1\r\nHost: test\r\nContent-Length: 2000000\r\n\r\n")
        await answer_of(reader)
        dribbling = asyncio.create_task(ended(reader))
        while not dribbling.done():  # a byte now and then does not buy more time
            writer.write(b"x")
            await asyncio.sleep(0.02)


async def test_clients_that_do_not_read_are_ended() -> None:
    app = patient(idle_s=0.2, header_s=0.2)
    app.answer = b"x" * 2**20
    async with listening(app) as connect:
        reader, writer = await connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(20):  # more than the buffers of both kernels hold
            writer.write(GET)
            await asyncio.sleep(0.005)
        await asyncio.sleep(1)
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await ended(reader)) < 20 * 2**20


async def test_requests_sent_ahead_are_answered_in_order_up_to_a_limit(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    posts = [POST + b"Content-Length: 2\r\n\r\n%02d" % i for i in range(MAX_PIPELINED)]
    writer.write(b"".join(posts))
    for i in range(MAX_PIPELINED):
        assert (await answer_of(reader))[1] == b"%02d" % i
    writer.write(GET * 6000)
    received = await ended(reader)  # first what was asked before the limit
    assert received.count(b"HTTP/1.1 200") == MAX_PIPELINED + 1
    check_refusal(received[received.rfind(b"HTTP/1.1 ") :], b"400 Bad Request", "too_many_pipelined")
