"""Owns bytes → requests, by httptools' public callbacks; does not answer, wait or keep bodies."""

from typing import Final, Protocol

import httptools

from app.api.connection.head import BadRequestHead, Head, malformed
from app.api.connection.limits import ConnectionLimits

_SLICE_BYTES: Final = 16 * 1024  # cut so, a body of one-byte chunks makes at most 3,000 events in a slice


class RequestSink(Protocol):
    """Is told what arrives, in order: begin, head, any number of body pieces, end."""

    def request_begins(self) -> None:
        """The first byte of a request."""
        ...

    def request_head(self, head: Head, keep_alive: bool) -> None:
        """A head that has passed its checks; without `keep_alive` the connection's last. May raise BadRequestHead."""
        ...

    def request_body(self, piece: bytes) -> None:
        """A piece of its body."""
        ...

    def request_ends(self) -> None:
        """The request is whole."""
        ...


class RequestReader:
    """One connection's requests.

    A wish for another protocol (`Upgrade`) makes the parser end the request at its head and drop the body, which
    would then be read as a request of its own. Such a head is parsed a second time without that wish, by a parser
    that goes on with the body; so it does not matter how the bytes were cut or what came before.
    """

    def __init__(self, sink: RequestSink, limits: ConnectionLimits) -> None:
        self._sink, self._limits = sink, limits
        self._parser = httptools.HttpRequestParser(self)
        self._target, self._headers, self._head_bytes = b"", list[tuple[bytes, bytes]](), 0
        self._again = False  # this head is being parsed for the second time
        self._in_request = self._in_head = False
        self._keep_alive, self._ended = True, False
        self._refusal: BadRequestHead | None = None
        self._unspent_bytes = 0  # of the stream since something last came of it
        self._events = 0

    @property
    def in_request(self) -> bool:
        """Whether a request has begun that is not whole."""
        return self._in_request

    @property
    def in_head(self) -> bool:
        """Whether a request has begun whose head is not whole."""
        return self._in_head

    @property
    def in_body(self) -> bool:
        """Whether a head has been announced whose request is not whole."""
        return self._in_request and not self._in_head

    def close(self) -> None:
        """Lets go of parser and sink, which hold this object as it holds them; nothing more may be fed."""
        self._ended, self._refusal = True, None
        del self._parser, self._sink

    def feed(self, data: memoryview, most_events: int) -> int:
        """Parses until `most_events` came of it or the data ends; returns how many bytes were taken.

        What follows the last request of a connection is taken and forgotten. Raises BadRequestHead, after which
        nothing more may be fed.
        """
        self._events, at = 0, 0
        while at < len(data) and self._events < most_events:
            at += self._feed_slice(data[at : at + _SLICE_BYTES])
        return at

    def _feed_slice(self, data: memoryview) -> int:
        if self._ended:
            return len(data)
        self._unspent_bytes += len(data)
        before, taken = self._events, len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            taken = upgrade.args[0]
            self._parse_without_upgrade()
        except httptools.HttpParserError as error:
            if not self._ended:
                raise (self._refusal or malformed()) from error
        if self._events > before:
            self._unspent_bytes = 0
        if self._unspent_bytes > self._limits.max_head_bytes:
            raise self._too_large()
        return taken

    def _parse_without_upgrade(self) -> None:
        self._headers = [header for header in self._headers if header[0] != b"upgrade"]
        head = bytes(self._head())
        self._parser, self._again = httptools.HttpRequestParser(self), True
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserError as error:
            raise (self._refusal or malformed()) from error
        finally:
            self._again = False

    # What the parser calls. An exception in here ends its parsing; ours is kept aside, as it wraps them differently.

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if self._again:
            return
        if self._ended:
            raise ValueError("the connection's last request is behind us")
        self._target, self._headers, self._head_bytes = b"", list[tuple[bytes, bytes]](), 0
        self._in_request = self._in_head = True
        self._sink.request_begins()

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        if not self._again:
            self._target += url
            self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is counted and forgotten."""
        if self._again:
            return
        self._count(len(name) + len(value) + 4)
        if self._in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The end of the head."""
        if self._parser.should_upgrade() and self._parser.get_method() != b"CONNECT":
            return  # it comes again
        try:
            head = self._head()
            head.check()
            # HTTP/1.0 by itself closes; that it may ask not to is of no use to anybody any more.
            self._keep_alive = head.version == "1.1" and self._parser.should_keep_alive()
            self._sink.request_head(head, self._keep_alive)
        except BadRequestHead as refusal:
            self._refusal = refusal
            raise
        self._in_head = False
        self._events += 1

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._events += 1
        self._sink.request_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        if self._in_head:
            return  # of one with a wish to upgrade, whose body is yet to come
        self._events += 1
        self._in_request = False
        self._ended = not self._keep_alive
        self._sink.request_ends()

    def _head(self) -> Head:
        return Head(self._parser.get_method(), self._target, self._parser.get_http_version(), self._headers)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.max_head_bytes or len(self._headers) >= self._limits.max_headers:
            self._refusal = self._too_large()
            raise self._refusal

    def _too_large(self) -> BadRequestHead:
        sentence = (
            f"the headers are larger than {self._limits.max_head_bytes} bytes or {self._limits.max_headers} lines"
        )
        return BadRequestHead(431, "headers_too_large", sentence)
