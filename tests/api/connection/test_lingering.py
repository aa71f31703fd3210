"""Refusals that the client can read though it still sends, and that end all the same."""

import asyncio
from typing import Any

import pytest

from app.api.connection.limits import ConnectionLimits
from tests.api.connection.conftest import CHUNKED, POST, Connect, Echo, answer_of, ended, listening
from tests.api.connection.test_ends import WHOLE
from tests.api.connection.test_protocol import patient

LAST_REFUSED = b"POST /refuse HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n"
LINE_ENDS = b"\r\n" * (ConnectionLimits().max_head_bytes // 2 + 20_000)


class Beginning(Echo):
    """Begins to answer before it has the request's body, and goes on once it is there."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (message := await receive())["type"] == "http.request":
            if not message["more_body"]:
                await send({"type": "http.response.body", "body": b"done"})
                return
        self.gone += 1


@pytest.mark.parametrize(
    ("start", "status"), [(LAST_REFUSED + bytes(50_000), b"200"), (LINE_ENDS, b"431")], ids=["body", "line ends"]
)
async def test_who_still_sends_can_read_why_not(echo: tuple[Echo, Connect], start: bytes, status: bytes) -> None:
    reader, writer = await echo[1]()
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(start)
    await asyncio.sleep(0.1)  # it is answered; a connection closed now would answer the rest by a reset
    for _ in range(5):
        writer.write(bytes(1000))
        await asyncio.sleep(0.01)
    reader._transport.resume_reading()  # type: ignore[attr-defined]
    assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 " + status)


async def test_who_is_refused_sees_the_end_at_once(echo: tuple[Echo, Connect], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.connection.protocol._LINGER_S", 60.0)
    reader, writer = await echo[1]()
    writer.write(b"garbage\r\n\r\n")
    assert (await ended(reader)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("start", [b"garbage\r\n\r\n", LAST_REFUSED], ids=["refused", "unread"])
async def test_who_stays_after_a_refusal_is_ended(
    echo: tuple[Echo, Connect], monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr("app.api.connection.protocol._LINGER_S", 0.1)
    reader, writer = await echo[1]()
    writer.write(start)
    await ended(reader)
    async with asyncio.timeout(3):
        while not writer.transport.is_closing():  # until what is sent meets a reset
            writer.write(b"x")
            await asyncio.sleep(0.02)


async def test_who_stays_after_a_refusal_makes_room() -> None:
    app = patient(max_connections=1)
    async with listening(app) as connect:
        first = await connect()
        first[1].write(WHOLE + b"garbage\r\n\r\n")
        assert (await ended(first[0])).count(b"HTTP/1.1 ") == 2
        second = await connect()
        second[1].write(WHOLE)
        assert (await answer_of(second[0]))[1] == b"abc"
    assert app.counter.closed == ["idle_evicted"]


async def test_an_answer_that_has_begun_is_not_followed_by_a_refusal() -> None:
    async with listening(app := Beginning()) as connect:
        reader, writer = await connect()
        writer.write(CHUNKED + b"3\r\nabc\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"zz\r\n")
        received = await ended(reader)
        assert received.count(b"HTTP/1.1 ") == 1 and received.endswith(b"begun\r\n")
        await asyncio.sleep(0.01)
    assert app.gone == 1 and app.counter.refusals == []


@pytest.mark.parametrize(
    ("version", "framed"), [(b"1.1", b"5\r\nbegun\r\n4\r\ndone\r\n0\r\n\r\n"), (b"1.0", b"begundone")]
)
async def test_an_answer_of_unknown_length_is_framed_as_the_client_knows_it(version: bytes, framed: bytes) -> None:
    async with listening(Beginning()) as connect:
        reader, writer = await connect()
        writer.write(POST.replace(b"1.1", version) + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc")
        head, _, body = (await ended(reader)).partition(b"\r\n\r\n")
        assert body == framed and (b"transfer-encoding: chunked" in head) == (version == b"1.1")
