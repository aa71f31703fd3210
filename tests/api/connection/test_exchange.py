"""One request and its answer, between an application that may be wrong and a client that may be gone."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.api.connection.exchange import Exchange, Message

Send = Callable[[Message], Coroutine[Any, Any, None]]
FIVE = (b"content-length", b"5")


class Wire:
    """What an exchange needs of its connection; notes what it is told."""

    def __init__(self) -> None:
        self.written, self.ends, self.reads = b"", list[bool](), list[bool]()

    def write(self, data: bytes) -> None:
        self.written += data

    async def writable(self) -> None:
        pass

    def pause_reading(self, paused: bool) -> None:
        self.reads.append(not paused)

    def exchange_ends(self, keep_alive: bool) -> None:
        self.ends.append(keep_alive)


def exchange(method: str = "GET", version: str = "1.1", *, waits: bool = False) -> tuple[Exchange, Wire]:
    scope = {"method": method, "http_version": version}
    return Exchange(scope, wire := Wire(), wants_continue=waits, keep_alive=version == "1.1"), wire


async def say(send: Send, *bodies: bytes, status: int = 200, headers: Any = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for body in bodies:
        await send({"type": "http.response.body", "body": body, "more_body": body is not bodies[-1]})


async def answered(*bodies: bytes, method: str = "GET", status: int = 200, headers: Any = ()) -> Wire:
    subject, wire = exchange(method)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await say(send, *bodies, status=status, headers=headers)

    await subject.run(app)
    return wire


async def test_an_answer_by_its_length_keeps_the_connection() -> None:
    wire = await answered(b"ab", b"cde", headers=[FIVE])
    assert wire.written.startswith(b"HTTP/1.1 200 OK\r\ndate: ") and wire.written.endswith(b"\r\n\r\nabcde")
    assert b"connection" not in wire.written and wire.ends == [True]


@pytest.mark.parametrize(
    ("bodies", "headers"),
    [
        ((b"ab",), [FIVE]),  # the client would take what comes next for the rest
        ((b"abcdef",), [FIVE]),  # and here the last byte for the next answer
        ((b"abcde", b"f"), [FIVE]),
    ],
)
async def test_an_answer_of_another_length_than_it_says_ends_the_connection(
    bodies: tuple[bytes, ...], headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        wire = await answered(*bodies, headers=headers)
    assert wire.ends == [False]
    assert not wire.written.endswith(b"f")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb"])
async def test_no_header_of_an_answer_holds_another(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        wire = await answered(b"", headers=[(b"x", value)])
    assert wire.written.startswith(b"HTTP/1.1 500 ") and b"set-cookie" not in wire.written


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_answers_without_a_body(method: str, status: int) -> None:
    body = b"abcde" if method == "HEAD" else b""
    wire = await answered(body, method=method, status=status, headers=[FIVE] if method == "HEAD" else [])
    assert wire.written.endswith(b"\r\n\r\n") and wire.ends == [True]
    assert b"transfer-encoding" not in wire.written


@pytest.mark.parametrize(("headers", "version"), [([(b"connection", b"close")], "1.1"), ([], "1.0")])
async def test_the_last_answer_says_once_that_it_is(headers: Any, version: str) -> None:
    subject, wire = exchange(version=version)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await say(send, b"abcde", headers=[*headers, FIVE])

    await subject.run(app)
    assert wire.written.count(b"connection: close\r\n") == 1 and wire.ends == [False]


async def test_an_application_that_fails_or_says_nothing_gives_500(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    for app in (fails, silent):
        subject, wire = exchange()
        with caplog.at_level(logging.CRITICAL):
            await subject.run(app)
        assert wire.written.startswith(b"HTTP/1.1 500 ") and wire.written.count(b"HTTP/1.1 ") == 1
        assert len(wire.ends) == 1


async def test_one_that_fails_within_its_answer_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ZeroDivisionError

    subject, wire = exchange()
    with caplog.at_level(logging.CRITICAL):
        await subject.run(app)
    assert wire.ends == [False] and wire.written.count(b"HTTP/1.1 ") == 1


async def test_one_that_is_cancelled_ends_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    subject, wire = exchange()
    task = asyncio.create_task(subject.run(app))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.ends == [False]


async def test_who_has_gone_is_sent_nothing() -> None:
    subject, wire = exchange()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        subject.client_leaves()
        assert (await receive())["type"] == "http.disconnect"
        await say(send, b"abc")

    await subject.run(app)
    assert (wire.written, wire.ends) == (b"", [])


async def test_an_answer_that_begins_early_begins_once() -> None:
    subject, wire = exchange()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            subject.begin_answer_early()
        assert wire.written == b"HTTP/1.1 "
        await send({"type": "http.response.start", "status": 200, "headers": [FIVE]})
        subject.begin_answer_early()
        await send({"type": "http.response.body", "body": b"abcde"})

    await subject.run(app)
    assert wire.written.startswith(b"HTTP/1.1 200 OK\r\n") and wire.written.count(b"HTTP/1.1 ") == 1


async def test_an_answer_that_has_begun_does_not_begin_early() -> None:
    subject, wire = exchange()
    await subject.send({"type": "http.response.start", "status": 200, "headers": [FIVE]})
    subject.begin_answer_early()
    await subject.send({"type": "http.response.body", "body": b"abcde"})
    assert wire.written.count(b"HTTP/1.1 ") == 1 and wire.ends == [True]


@pytest.mark.parametrize("whole", [False, True])
async def test_who_waits_to_be_told_is_told_once_and_not_in_vain(whole: bool) -> None:
    subject, wire = exchange("POST", waits=True)
    if whole:
        subject.body_arrives(b"abc")
        subject.body_ends()
    for piece in () if whole else (b"a", b"b"):
        asyncio.get_running_loop().call_soon(subject.body_arrives, piece)
        await subject.receive()
    if whole:
        await subject.receive()
    assert wire.written == (b"" if whole else b"HTTP/1.1 100 Continue\r\n\r\n")


async def test_a_body_is_held_back_until_it_is_asked_for() -> None:
    subject, wire = exchange("POST")
    subject.body_arrives(bytes(60_000))
    assert wire.reads == []
    subject.body_arrives(bytes(60_000))
    assert wire.reads == [False]
    assert len((await subject.receive())["body"]) == 120_000
    assert wire.reads == [False, True]
