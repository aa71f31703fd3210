"""Clients that send more than one turn's work, ask ahead, or leave late; and who goes first where there is no room."""

import asyncio
import socket
from typing import Any

from app.api.connection.protocol import Connection
from app.api.connection.registry import Connections
from tests.api.connection.conftest import CHUNKED, GET, POST, Connect, Counter, Echo, answer_of, ended, listening
from tests.api.connection.test_ends import WHOLE
from tests.api.connection.test_protocol import check_refusal, patient
from tests.api.connection.test_smuggling import INNER, WISH
from tests.engine.test_engine import until

MANY_CHUNKS = b"1\r\na\r\n" * 40_000
SLOW_BODY = POST + b"Content-Length: 10\r\n\r\nabc"


class Wire(asyncio.Transport):
    """A transport that only notes what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self._state, self.resumed, self.written = "reads", 0, b""

    def state(self) -> str:
        """Whether it reads, is paused, closed or aborted."""
        return self._state

    def is_closing(self) -> bool:
        return self._state in ("closed", "aborted")

    def close(self) -> None:
        self._state = "closed"

    def abort(self) -> None:
        self._state = "aborted"

    def write_eof(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def pause_reading(self) -> None:
        self._state = "paused"

    def resume_reading(self) -> None:
        self.resumed += 1
        self._state = "reads"

    def write(self, data: Any) -> None:
        self.written += data


def connected(app: Echo, connections: Connections | None = None) -> tuple[Connection, Wire]:
    subject, wire = Connection(app, app.limits, connections or Connections(1, Counter())), Wire()
    subject.connection_made(wire)
    return subject, wire


async def test_while_much_is_unparsed_no_more_is_read() -> None:
    subject, wire = connected(Echo())
    subject.data_received(CHUNKED + MANY_CHUNKS[:100_000])
    assert wire.state() == "paused"
    subject.data_received(MANY_CHUNKS[100_000:])  # was on its way already
    others_turns = 0
    while not wire.resumed:
        await asyncio.sleep(0)
        others_turns += 1
    assert others_turns >= 5
    subject.data_received(b"0\r\n\r\n")
    await until(lambda: wire.written.endswith(b"a" * 40_000))
    subject.connection_lost(None)


async def test_a_body_that_nobody_asks_for_is_left_with_the_system() -> None:
    subject, wire = connected(app := Echo())
    app.delay_s = 0.3
    subject.data_received(POST.replace(b"/", b"/refuse", 1) + b"Content-Length: 1000000\r\n\r\n")
    for _ in range(4):
        subject.data_received(bytes(50_000))
    assert wire.state() == "paused"
    subject.connection_lost(None)
    await asyncio.sleep(0)


async def test_what_is_read_in_turns_for_nobody_is_read_to_its_end(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    for _ in range(2):
        writer.write(CHUNKED.replace(b"/", b"/refuse", 1) + MANY_CHUNKS + b"0\r\n\r\n")
        assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 200 ")
    await asyncio.sleep(0.1)
    writer.write(GET)
    assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 200 ")


async def test_who_asks_ahead_is_read_when_it_is_his_turn() -> None:
    subject, wire = connected(app := Echo())
    app.delay_s = 0.1
    subject.data_received(GET)
    assert wire.state() == "reads"
    subject.data_received(GET)
    await asyncio.sleep(0.01)  # the application asks whether the client has left
    assert wire.state() == "paused"
    await until(lambda: wire.written.count(b"HTTP/1.1 200 ") == 2)
    assert wire.state() == "reads"
    subject.connection_lost(None)


async def test_who_does_not_read_gets_no_more_until_he_does() -> None:
    subject, wire = connected(Echo())
    subject.pause_writing()
    subject.data_received(GET)
    await asyncio.sleep(0.05)
    assert wire.written == b""
    subject.resume_writing()
    await asyncio.sleep(0.05)
    assert wire.written.startswith(b"HTTP/1.1 200 ")
    subject.connection_lost(None)


async def test_at_the_end_of_the_service_who_asked_is_answered_and_who_did_not_is_not_waited_for() -> None:
    idle, wire = connected(Echo())
    idle.shutdown()
    assert wire.state() == "closed"
    busy, wire = connected(app := Echo())
    app.delay_s = 0.05
    busy.data_received(WHOLE)
    busy.shutdown()
    assert wire.state() == "reads"
    await until(lambda: wire.state() == "closed")
    assert wire.written.endswith(b"abc") and b"connection: close" in wire.written
    for connection in (idle, busy):
        connection.connection_lost(None)


async def test_who_must_go_goes_at_once_whatever_he_has_not_read() -> None:
    connections = Connections(1, Counter())
    subject, wire = connected(Echo(), connections)
    connected(Echo(), connections)
    assert wire.state() == "aborted"
    subject.connection_lost(None)


async def test_who_finds_no_room_is_told_and_takes_none() -> None:
    connections = Connections(1, Counter())
    busy, _ = connected(app := Echo(), connections)
    app.delay_s = 0.1
    busy.data_received(WHOLE)
    refused, wire = connected(app, connections)
    assert wire.written.startswith(b"HTTP/1.1 503 ") and wire.state() == "closed"
    for connection in (busy, refused):
        connection.connection_lost(None)
    await asyncio.sleep(0)


async def test_who_does_not_read_his_last_answer_is_not_waited_for() -> None:
    subject, wire = connected(patient(idle_s=0.2))
    subject.data_received(GET.replace(b"Host", b"Connection: close\r\nHost"))
    await until(lambda: wire.state() == "closed")
    await until(lambda: wire.state() == "aborted")
    subject.connection_lost(None)


async def test_who_leaves_long_after_he_ended_his_sending_is_noticed(echo: tuple[Echo, Connect]) -> None:
    app, connect = echo
    app.delay_s = 4.0
    _, writer = await connect()
    writer.write(WHOLE)
    writer.write_eof()
    await asyncio.sleep(0.35)  # the first look found him there
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
    async with asyncio.timeout(2):
        await app.left.wait()


async def test_who_waits_for_a_request_goes_before_who_sends_one() -> None:
    app = patient(max_connections=2)
    async with listening(app) as connect:
        sending, idle = await connect(), await connect()
        sending[1].write(SLOW_BODY)
        await asyncio.sleep(0.05)
        newcomer = await connect()
        assert await ended(idle[0]) == b""
        sending[1].write(b"defghij")
        newcomer[1].write(GET)
        assert (await answer_of(sending[0]))[1] == b"abcdefghij"
        await answer_of(newcomer[0])
    assert app.counter.closed == ["idle_evicted"]


async def test_who_was_answered_waits_again_for_a_request() -> None:
    app = patient(max_connections=1)
    async with listening(app) as connect:
        for _ in range(3):
            reader, writer = await connect()
            writer.write(WHOLE)
            assert (await answer_of(reader))[1] == b"abc"
    assert app.counter.closed == ["idle_evicted"] * 2 and app.counter.refusals == []


async def test_who_asked_ahead_and_is_being_answered_is_not_sent_away() -> None:
    app = patient(max_connections=1)
    app.delay_s = 0.3
    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(WHOLE * 2)
        assert (await answer_of(reader))[1] == b"abc"
        refused = await connect()
        check_refusal(await ended(refused[0]), b"503 Service Unavailable", "too_many_connections")
        assert (await answer_of(reader))[1] == b"abc"
    assert app.counter.closed == ["refused"]


async def test_a_chunk_that_is_none_after_a_wish_has_one_answer(echo: tuple[Echo, Connect]) -> None:
    reader, writer = await echo[1]()
    writer.write(POST + WISH + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await asyncio.sleep(0.05)
    writer.write(b"zz\r\n" + INNER)
    check_refusal(await ended(reader), b"400 Bad Request", "malformed_http")
    assert not echo[0].asked
