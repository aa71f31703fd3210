"""Owns the life of one connection: its exchanges in order, its timeouts and its end; does not run requests."""

import asyncio
import json
import socket
from collections import deque
from http.client import responses
from typing import Any, Final, cast

from app.api.connection.exchange import ASGIApp, Exchange
from app.api.connection.head import BadRequestHead, Head, Refusal
from app.api.connection.limits import ConnectionLimits
from app.api.connection.reader import RequestReader
from app.api.connection.registry import Connections, Reason, Stage
from app.api.request_id import request_id

_EVENTS_A_TURN: Final = 2000  # pieces of body and the like, some 2 ms; the others' turn comes in between
_LINGER_S: Final = 2.0
_GONE_CHECK_S: Final = 0.25  # between looks whether a client that ended its sending is still there


class Connection(asyncio.Protocol):
    """HTTP/1.1 for clients that mean harm.

    Answers come in the order of their requests. What still arrives of a body after its answer is read and forgotten,
    so that the client can finish sending and then read; that ends with the idle timeout. A client that has ended its
    sending is answered.
    """

    def __init__(self, app: ASGIApp, limits: ConnectionLimits, connections: Connections) -> None:
        self._app, self._limits, self._connections = app, limits, connections
        self._reader = RequestReader(self, limits)
        self._loop = asyncio.get_running_loop()
        self._exchanges: deque[Exchange] = deque()  # the first is being answered
        self._unparsed, self._in_turns = memoryview(b""), False
        self._refusal: Refusal | None = None  # to be said once what came before is answered
        self._half_closed = False
        self._read_whole = False  # no more requests: the client, or a refusal, has ended the reading
        self._unread_bytes = 0  # at the last look, if the client was behind
        self._can_write = asyncio.Event()
        self._can_write.set()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast(asyncio.Transport, transport)
        self._peers = {
            "client": _address(transport.get_extra_info("peername")),
            "server": _address(transport.get_extra_info("sockname")),
        }
        self._timer = self._loop.call_later(self._limits.keep_alive_s, self._waited)
        self._watch: asyncio.TimerHandle | None = None
        if not self._connections.enter(self):
            full = Refusal(503, "too_many_connections", "the service has no room for another connection")
            self._say(full, "connection")
            self._transport.close()  # it has no place in which to linger

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self._connections.leave(self)
        self._timer.cancel()
        if self._watch:
            self._watch.cancel()
        self._unparsed = memoryview(b"")
        self._reader.close()
        for exchange in self._exchanges:
            exchange.client_leaves()
        self._exchanges.clear()
        self._can_write.set()

    def eof_received(self) -> bool:
        """The client sends no more; whether the connection stays open, as it must for what was asked whole."""
        if self._exchanges and not self._exchanges[-1].body_is_whole:
            self._exchanges.pop().client_leaves()  # its body will never be whole
        if not self._exchanges:
            return False
        self._read_whole = self._half_closed = True
        self._exchanges[-1].keep_alive = False
        self._watch = self._loop.call_later(_GONE_CHECK_S, self._look_for_client)
        return True

    def data_received(self, data: bytes) -> None:
        """Parses, in turns if it is much work."""
        if not self._read_whole:
            self._unparsed = memoryview(data if not self._unparsed else bytes(self._unparsed) + data)
            self._parse()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: now we wait for it."""
        self._can_write.clear()
        self._connections.is_sending(self)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._can_write.set()
        self._unread_bytes = 0

    # What the server and the registry ask for.

    def shutdown(self) -> None:
        """Ends the connection once what has been asked is answered."""
        if self._exchanges:
            self._exchanges[-1].keep_alive = False
        else:
            self._transport.close()

    def evict(self) -> None:
        """Ends it at once."""
        self._transport.abort()

    # What the reader tells.

    def request_begins(self) -> None:
        """The first byte of a request."""
        if not self._exchanges:
            self._wait(self._limits.header_timeout_s)

    def request_head(self, head: Head, keep_alive: bool) -> None:
        """A head; the application begins, unless earlier requests are still being answered."""
        if len(self._exchanges) > self._limits.max_pipelined:  # each costs kilobytes, its forty bytes did not
            sentence = f"more than {self._limits.max_pipelined} requests were sent ahead"
            raise BadRequestHead(400, "too_many_pipelined", sentence)
        exchange = Exchange({**head.scope(), **self._peers}, self, head.wants_continue, keep_alive)
        self._exchanges.append(exchange)
        if len(self._exchanges) == 1:
            self._wait(self._limits.keep_alive_s)
            self._begin(exchange)
        else:
            self._connections.is_sending(self)  # whoever sends ahead may have to go for others
            self.pause_reading(True)

    def request_body(self, piece: bytes) -> None:
        """A piece of the newest request's body."""
        if self._exchanges:
            self._exchanges[-1].body_arrives(piece)

    def request_ends(self) -> None:
        """The newest request is whole."""
        if self._exchanges:
            self._exchanges[-1].body_ends()
            if len(self._exchanges) == 1:
                self._connections.is_busy(self)

    # What the exchanges ask for.

    def write(self, data: bytes) -> None:
        """Sends, or keeps until the client reads."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def writable(self) -> None:
        """Returns once the client has read enough."""
        await self._can_write.wait()

    def pause_reading(self, paused: bool) -> None:
        """Leaves what arrives with the operating system, or takes it again."""
        if self._transport.is_closing() or self._read_whole:
            return
        if paused:
            self._transport.pause_reading()
        elif len(self._exchanges) <= 1 and not self._unparsed:
            self._transport.resume_reading()

    def exchange_ends(self, keep_alive: bool) -> None:
        """The first request is answered: the next one's turn, or the end."""
        self._exchanges.popleft()
        if self._transport.is_closing():
            return
        if not keep_alive:
            self._close()
        elif self._exchanges:
            self._begin(self._exchanges[0])
        elif self._refusal:
            self._say(self._refusal)
        else:
            self._connections.is_idle(self)
            self._wait(self._limits.keep_alive_s)
            self._parse()
            self.pause_reading(False)

    def _begin(self, exchange: Exchange) -> None:
        if exchange.body_is_whole and len(self._exchanges) == 1:
            self._connections.is_busy(self)
        else:
            self._connections.is_sending(self)
        task = self._loop.create_task(exchange.run(self._app))
        self._connections.tasks.add(task)
        task.add_done_callback(self._connections.tasks.discard)

    def _parse(self) -> None:
        if not self._unparsed or self._transport.is_closing():
            return
        if self._exchanges and self._exchanges[-1].body_is_whole:  # one after the other: what waits stays bytes
            self._transport.pause_reading()
            self._connections.keeps(self, len(self._unparsed))  # by which it may have to go
            return
        self._connections.keeps(self, 0)
        started_at = self._loop.time()
        try:
            taken = self._reader.feed(self._unparsed, _EVENTS_A_TURN)
        except BadRequestHead as error:
            self._unparsed = memoryview(b"")
            self._refuse(error.refusal)
            return
        self._unparsed = self._unparsed[taken:]
        if self._unparsed:
            self._in_turns = True
            self._transport.pause_reading()
            now = self._loop.time()
            self._loop.call_at(self._connections.turn_at(now, now - started_at), self._parse)
        elif self._in_turns:
            self._in_turns = False
            self.pause_reading(False)

    def _wait(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._waited)

    def _waited(self) -> None:
        """Ends the connection if it waits for the client: to send a request, or to read an answer."""
        unread = self._transport.get_write_buffer_size()
        if self._reads_slowly(unread) or (self._exchanges and not unread):
            self._unread_bytes = unread
            self._wait(self._limits.keep_alive_s)
        elif not self._exchanges and self._reader.in_head and not unread:
            self._end("header_timeout")
            self._say(Refusal(408, "header_timeout", "the request's headers did not arrive in time"))
        else:
            self._end("idle_timeout")
            self._transport.abort()

    def _reads_slowly(self, unread: int) -> bool:
        """Whether the client, who has not read all, has read some since the last look, or this is the first."""
        return bool(unread) and (not self._unread_bytes or unread < self._unread_bytes)

    def _end(self, reason: Reason) -> None:
        self._connections.observer.connection_closed(reason)

    def _look_for_client(self) -> None:
        """Closing and ending one's sending look alike from here until something is written; then a reset comes back."""
        if self._transport.is_closing() or not self._exchanges:
            return
        self._exchanges[0].begin_answer_early()
        if self._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._transport.abort()
        else:
            self._watch = self._loop.call_later(_GONE_CHECK_S, self._look_for_client)

    def _refuse(self, refusal: Refusal) -> None:
        """Says so in its turn: once the requests before it are answered."""
        self._read_whole, self._refusal = True, refusal
        if self._reader.in_body:
            # It lies in the body of a request that is being answered, which therefore never ends: one answer for both.
            if not self._exchanges or self._exchanges[-1].started:
                self._transport.close()
                return
            self._exchanges.pop().client_leaves()
        if not self._exchanges:
            self._say(refusal)

    def _say(self, refusal: Refusal, stage: Stage = "head") -> None:
        if self._transport.is_closing():
            return
        self._refusal = refusal
        id_ = request_id({})
        self._connections.refused(refusal, stage, id_, (self._peers["client"] or (None,))[0])
        body = json.dumps({"error": refusal.sentence, "code": refusal.code, "request_id": id_})
        head = (
            f"HTTP/1.1 {refusal.status} {responses[refusal.status]}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-request-id: {id_}\r\n"
            "connection: close\r\n\r\n"
        )
        self._transport.write((head + body).encode("ascii"))
        self._close()

    def _close(self) -> None:
        """Ends the connection; where the client may still be sending, only once it has had time to read the answer.

        Closing at once would answer what still arrives with a reset, and that takes the answer from the client.
        """
        self._unparsed = memoryview(b"")
        for exchange in self._exchanges:
            exchange.client_leaves()
        self._exchanges.clear()
        self._connections.is_idle(self)
        if self._half_closed or not (self._reader.in_request or self._refusal):
            self._wait(self._limits.keep_alive_s)  # for the client to read what is still here
            self._transport.close()
            return
        self._read_whole = True
        self._transport.resume_reading()
        self._transport.write_eof()
        self._timer.cancel()
        self._timer = self._loop.call_later(_LINGER_S, self._transport.abort)


def _address(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
