"""Clients that end their sending, leave, or are too many."""

import asyncio
import gc
import socket
import weakref

import pytest

from app.api.connection.protocol import Connection
from app.api.connection.registry import Connections
from tests.api.connection.conftest import GET, POST, Connect, Counter, Echo, answer_of, ended, listening
from tests.api.connection.test_protocol import check_refusal, patient

WHOLE = POST + b"Content-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize("delay_s", [0.0, 0.35])
async def test_who_ends_his_sending_is_answered(echo: tuple[Echo, Connect], delay_s: float) -> None:
    echo[0].delay_s = delay_s
    reader, writer = await echo[1]()
    writer.write(WHOLE)
    writer.write_eof()
    head, _, body = (await ended(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and body == b"abc"
    assert b"connection: close" in head or not delay_s  # where the end was known before the answer


async def test_so_is_a_pipeline(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    writer.write(WHOLE * 5)
    writer.write_eof()
    assert (await ended(reader)).count(b"\r\n\r\nabc") == 5


async def test_half_a_request_is_none(echo: tuple[Echo, Connect]) -> None:
    app, connect = echo
    for start in (POST, POST + b"Content-Length: 10\r\n\r\nabc", WHOLE + POST):
        reader, writer = await connect()
        writer.write(start)
        writer.write_eof()
        assert b"abc" not in await ended(reader) or start.startswith(WHOLE)
    await asyncio.sleep(0.01)
    assert app.gone >= 1


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_who_leaves_is_noticed(echo: tuple[Echo, Connect], reset: bool) -> None:
    app, connect = echo
    app.delay_s = 4.0
    reader, writer = await connect()
    writer.write(WHOLE)
    await asyncio.sleep(0.05)
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.close()
    async with asyncio.timeout(2):
        await app.left.wait()


async def test_the_longest_idle_makes_room(echo: tuple[Echo, Connect]) -> None:
    app = patient(max_connections=3)
    async with listening(app) as connect:
        first, second, third = [await connect() for _ in range(3)]
        first[1].write(GET)
        await answer_of(first[0])  # now the second is the longest idle
        fourth = await connect()
        assert await ended(second[0]) == b""
        for reader, writer in (first, third, fourth):
            writer.write(GET)
            await answer_of(reader)
    assert app.counter.closed == ["idle_evicted"]


async def test_then_who_sends_and_never_who_waits_for_us() -> None:
    app = patient(max_connections=2)
    app.delay_s = 0.5
    async with listening(app) as connect:
        waiting, sending = await connect(), await connect()
        waiting[1].write(WHOLE)
        sending[1].write(POST + b"Content-Length: 10\r\n\r\nabc")
        await asyncio.sleep(0.05)
        newcomer = await connect()
        newcomer[1].write(WHOLE)
        assert await ended(sending[0]) == b""
        await asyncio.sleep(0.05)
        refused = await connect()
        check_refusal(await ended(refused[0]), b"503 Service Unavailable", "too_many_connections")
        for reader, _ in (waiting, newcomer):
            assert (await answer_of(reader))[1] == b"abc"
    assert app.counter.closed == ["idle_evicted", "refused"] and app.counter.refusals == [503]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_only_http_1_1_is_told_to_continue(echo: tuple[Echo, Connect], version: bytes) -> None:
    reader, writer = await echo[1]()
    writer.write(b"POST / HTTP/" + version + b"\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    await asyncio.sleep(0.05)
    writer.write(b"abc")
    writer.write_eof()
    assert (await ended(reader)).startswith(b"HTTP/1.1 100 Continue" if version == b"1.1" else b"HTTP/1.1 200 OK")


async def test_long_targets_are_refused(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    writer.write(b"GET /?" + b"topk&" * 2000 + b" HTTP/1.1\r\nHost: t\r\n\r\n")
    check_refusal(await ended(reader), b"414 Request-URI Too Long", "target_too_long")


async def test_many_headers_are_refused(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n" + b"a: b\r\n" * 16_000 + b"\r\n")
    check_refusal(await ended(reader), b"431 Request Header Fields Too Large", "headers_too_large")


async def test_connections_leave_nothing_to_the_collector() -> None:
    made: list[weakref.ref[Connection]] = []
    app, connections = Echo(), Connections(10, Counter())

    def make() -> Connection:
        connection = Connection(app, app.limits, connections)
        made.append(weakref.ref(connection))
        return connection

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    gc.disable()
    try:
        for start in (GET, WHOLE, POST + b"Content-Length: 9\r\n\r\nabc", b"GET / HT", b"garbage\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(start)
            await asyncio.sleep(0.02)
            writer.transport.abort()
        await asyncio.sleep(0.1)
        assert [connection() for connection in made] == [None] * 5
    finally:
        gc.enable()
        server.close()


@pytest.mark.parametrize("rest", [b"GET /li", b"\x01", POST + b"Content-Length: 9\r\n\r\nabc"])
async def test_what_was_asked_whole_is_answered_though_more_had_begun(echo: tuple[Echo, Connect], rest: bytes) -> None:
    echo[0].delay_s = 0.1
    reader, writer = await echo[1]()
    writer.write(WHOLE + rest)
    writer.write_eof()
    received = await ended(reader)
    assert received.startswith(b"HTTP/1.1 200 ") and b"\r\n\r\nabc" in received


async def test_an_answer_before_the_body_that_was_asked_for_ends_the_connection(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    writer.write(b"POST /refuse HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n")
    await asyncio.sleep(0.05)
    writer.write(GET)  # of a client that now leaves the body out, and takes the connection for its next request
    received = await ended(reader)
    assert received.count(b"HTTP/1.1 ") == 1 and b"connection: close" in received


async def test_a_steady_reader_is_not_cut_off() -> None:
    app = patient(idle_s=0.6, header_s=0.1)
    app.answer = b"x" * 8 * 2**20
    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(GET.replace(b"Host", b"Connection: close\r\nHost"))
        received = 0
        while chunk := await reader.read(2**18):
            received += len(chunk)
            await asyncio.sleep(0.03)
        assert received > len(app.answer)


async def test_bytes_sent_ahead_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.connection.registry._MAX_KEPT_BYTES", 400_000)
    app = Echo()
    app.delay_s = 0.4
    async with listening(app) as connect:
        streams = [await connect() for _ in range(8)]
        for _, writer in streams:
            writer.write(WHOLE)
        await asyncio.sleep(0.05)
        for _, writer in streams:
            writer.write(POST + b"Content-Length: 150000\r\n\r\n" + bytes(150_000))
        answers = [await ended_or_first(reader) for reader, _ in streams]
    kept = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200 ")]
    assert 1 <= len(kept) < 8 and app.counter.closed.count("refused") == 8 - len(kept)


async def ended_or_first(reader: asyncio.StreamReader) -> bytes:
    """The first answer's head; what came, if the connection ended before it."""
    try:
        return (await answer_of(reader))[0]
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
