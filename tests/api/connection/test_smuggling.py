"""However bytes are cut and whatever came before, each request has one answer, and its body is its own."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.api.connection.conftest import GET, POST, Connect, Echo, answer_of, ended

INNER = b"GET /inner HTTP/1.1\r\nHost: test\r\n\r\n"
WISH = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
WITH_LENGTH = POST + WISH + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER
IN_CHUNKS = POST + WISH + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER)
OLD = WITH_LENGTH.replace(b"HTTP/1.1\r\nHost: test\r\nConn", b"HTTP/1.0\r\nHost: test\r\nConn")


async def send(connect: Connect, pieces: Sequence[bytes]) -> asyncio.StreamReader:
    reader, writer = await connect()
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.001)
    return reader


@pytest.mark.parametrize("request_", [WITH_LENGTH, IN_CHUNKS], ids=["length", "chunks"])
@pytest.mark.parametrize("before", [b"", GET, GET + WITH_LENGTH], ids=["first", "second", "third"])
async def test_no_cut_leads_to_a_second_answer_or_a_lost_body(
    echo: tuple[Echo, Connect], request_: bytes, before: bytes
) -> None:
    app, connect = echo
    whole = before + request_ + POST + b"Content-Length: 3\r\n\r\nend"
    expected = {b"": [INNER, b"end"], GET: [b"", INNER, b"end"]}.get(before, [b"", INNER, INNER, b"end"])
    for start in range(len(before) + 1, len(before) + len(request_), 40):
        cuts = range(start, min(start + 40, len(before) + len(request_)))
        readers = await asyncio.gather(*(send(connect, (whole[:cut], whole[cut:])) for cut in cuts))
        for reader in readers:
            for body in expected:
                head, answered = await answer_of(reader)
                assert answered == body
                assert b"x-upgrade: \r\n" in head
    assert app.asked.count(INNER) >= 2 and b"/inner" not in b"".join(set(app.asked) - {INNER})


async def test_a_byte_at_a_time(echo: tuple[Echo, Connect]) -> None:
    reader = await send(echo[1], [bytes([byte]) for byte in WITH_LENGTH])
    assert (await answer_of(reader))[1] == INNER


@pytest.mark.parametrize("name", [b"Upgrade", b"upgrade", b"UPGRADE"])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0", b"h2c, websocket"])
async def test_a_wish_for_another_protocol_is_ignored(echo: tuple[Echo, Connect], name: bytes, protocol: bytes) -> None:
    wish = WISH.replace(b"Upgrade: h2c", name + b": " + protocol)
    request = POST + wish + b"Content-Length: 18\r\n\r\nbody\r\nUpgrade: no\n"
    reader = await send(echo[1], (request, request))
    for _ in range(2):
        assert (await answer_of(reader))[1] == b"body\r\nUpgrade: no\n"


async def test_after_the_last_request_nothing_is_answered(echo: tuple[Echo, Connect]) -> None:
    last = POST + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc"
    for pieces in ((last + INNER,), (last, INNER), (OLD + INNER,), (OLD, INNER)):
        received = await ended(await send(echo[1], pieces))
        assert received.count(b"HTTP/1.1 ") == 1 and b"connection: close" in received
    assert b"" not in echo[0].asked


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:80:90\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + INNER,
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        POST + WISH + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
    ],
)
async def test_what_two_servers_may_read_in_two_ways_is_refused(echo: tuple[Echo, Connect], head: bytes) -> None:
    reader, writer = await echo[1]()
    writer.write(head)
    received = await ended(reader)
    assert received.startswith(b"HTTP/1.1 400 ") and received.count(b"HTTP/1.1 4") + received.count(b"HTTP/1.1 2") == 1
    assert not echo[0].asked and echo[0].counter.refusals == [400]


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"xchunked", b"chunked\r\nTransfer-Encoding: chunked"])
async def test_other_codings_of_a_transfer_are_refused(echo: tuple[Echo, Connect], coding: bytes) -> None:
    reader, writer = await echo[1]()
    writer.write(POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    received = await ended(reader)
    assert received.startswith((b"HTTP/1.1 501 ", b"HTTP/1.1 400 ")) and not echo[0].asked


@pytest.mark.parametrize("host", [b"", b"a ", b"a", b"a.b:8000", b"127.0.0.1:80", b"[::1]:8000", b"a_b.example"])
async def test_hosts_that_are_ones(echo: tuple[Echo, Connect], host: bytes) -> None:
    reader, writer = await echo[1]()
    writer.write(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 200 ")


async def test_a_body_that_breaks_off_ends_the_connection_with_one_answer(echo: tuple[Echo, Connect]) -> None:
    for path, status in ((b"/", b"400"), (b"/refuse", b"200")):
        reader, writer = await echo[1]()
        writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"zz\r\n" + INNER)
        received = await ended(reader)
        assert (
            received.startswith(b"HTTP/1.1 " + status)
            and received.count(b"HTTP/1.1 4") + received.count(b"HTTP/1.1 2") == 1
        )


async def test_a_refusal_waits_for_the_answers_before_it(echo: tuple[Echo, Connect]) -> None:
    echo[0].delay_s = 0.1
    reader, writer = await echo[1]()
    writer.write(POST + b"Content-Length: 3\r\n\r\nabc" + b"garbage\r\n\r\n")
    received = await ended(reader)
    assert received.startswith(b"HTTP/1.1 200 ") and received.count(b"HTTP/1.1 400 ") == 1
