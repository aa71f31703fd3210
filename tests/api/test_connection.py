import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.api import connection
from app.api.connection import MAX_HEADER_BYTES, MAX_PIPELINED, BoundedConnection

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Echo:
    """Answers with the body, or refuses it unread at /refuse; knows who left."""

    def __init__(self) -> None:
        self.gone = 0
        self.answer = b""
        self.delay_s = 0.0

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        body, more = b"", scope["path"] != "/refuse"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            body, more = body + message["body"], message["more_body"]
        await asyncio.sleep(self.delay_s)
        answer = self.answer or body
        headers = [
            (b"content-length", b"%d" % len(answer)),
            (b"x-upgrade", dict(scope["headers"]).get(b"upgrade", b"")),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


@asynccontextmanager
async def listening(app: Echo) -> AsyncIterator[Connect]:
    config, state = uvicorn.Config(app, log_config=None, interface="asgi3", timeout_keep_alive=75), ServerState()
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedConnection(config, state, {}, loop), "127.0.0.1", 0)
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> Streams:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writers.append(writer)
        return reader, writer

    try:
        yield connect
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
        for _ in range(100):
            if not state.connections and not state.tasks:
                break
            await asyncio.sleep(0.01)
        assert not state.connections and not state.tasks, "something was left open"


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Connect]]:
    app = Echo()
    async with listening(app) as connect:
        yield app, connect


@contextmanager
def timeouts(monkeypatch: pytest.MonkeyPatch, idle_s: float = 9, header_s: float = 9) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(connection, "IDLE_TIMEOUT_S", idle_s)
        patch.setattr(connection, "HEADER_TIMEOUT_S", header_s)
        yield


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next answer's head and body."""
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        return head, await reader.readexactly(length)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that came before the server ended the connection, by closing or by a reset."""
    received = b""
    async with asyncio.timeout(5):
        try:
            while chunk := await reader.read(65536):
                received += chunk
        except ConnectionError:
            pass
    return received


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
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n",
    ],
    ids=range(13),
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


async def test_slow_headers_end_the_connection(echo: tuple[Echo, Connect], monkeypatch: pytest.MonkeyPatch) -> None:
    with timeouts(monkeypatch, header_s=0.1):
        reader, writer = await echo[1]()
        for byte in b"GET / HTTP/1.1\r\nHost":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert await ended(reader) == b""


async def test_idle_connections_end(echo: tuple[Echo, Connect], monkeypatch: pytest.MonkeyPatch) -> None:
    with timeouts(monkeypatch, idle_s=0.1):
        assert await ended((await echo[1]())[0]) == b""  # never said a word
        reader, writer = await echo[1]()
        writer.write(GET)
        await answer_of(reader)
        assert await ended(reader) == b""


async def test_a_slow_answer_is_no_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Echo()
    app.delay_s = 0.3
    with timeouts(monkeypatch, idle_s=0.1, header_s=0.1):
        async with listening(app) as connect:
            reader, writer = await connect()
            writer.write(POST + b"Content-Length: 3\r\n\r\nabc")
            assert (await answer_of(reader))[1] == b"abc"


async def test_a_refused_body_is_read_on_for_a_while(
    echo: tuple[Echo, Connect], monkeypatch: pytest.MonkeyPatch
) -> None:
    with timeouts(monkeypatch, idle_s=0.6):
        reader, writer = await echo[1]()
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


async def test_clients_that_do_not_read_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Echo()
    app.answer = b"x" * 2**20
    with timeouts(monkeypatch, idle_s=0.2, header_s=0.2):
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
    check_refusal(await ended(reader), b"400 Bad Request", "too_many_pipelined")


@pytest.mark.parametrize("name", [b"Upgrade", b"upgrade", b"UPGRADE"])
async def test_a_wish_for_another_protocol_is_ignored(echo: tuple[Echo, Connect], name: bytes) -> None:
    reader, writer = await echo[1]()
    wish = b"Connection: Upgrade, HTTP2-Settings\r\n" + name + b": h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    for _ in range(2):
        writer.write(POST + wish + b"Content-Length: 18\r\n\r\nbody\r\nUpgrade: no\n")
        head, body = await answer_of(reader)
        assert body == b"body\r\nUpgrade: no\n"
        assert b"x-upgrade: \r\n" in head


async def test_half_a_connection_is_no_client(echo: tuple[Echo, Connect]) -> None:
    app, connect = echo
    reader, writer = await connect()
    writer.write(POST + b"Content-Length: 10\r\n\r\nabc")
    writer.write_eof()
    assert await ended(reader) == b""
    await asyncio.sleep(0.01)
    assert app.gone == 1
