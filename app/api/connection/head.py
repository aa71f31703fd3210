"""Owns what a request's head must be and the ASGI scope made of it; does not parse bytes."""

import re
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import httptools

# RFC 3986's host and port, and no more: a Host that proxies could read in two ways is how requests are smuggled.
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]*)?")
_MAX_TARGET_BYTES: Final = 8192  # a query is parsed whole, and of 60 kB that takes 9 ms


class Refusal(NamedTuple):
    """What a client gets to read instead of the application's answer; the code is stable."""

    status: int
    code: str
    sentence: str


class BadRequestHead(Exception):
    """This is no request for the application."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.refusal = Refusal(status, code, sentence)


def malformed(sentence: str = "the request is not valid HTTP/1.1") -> BadRequestHead:
    """What is no HTTP request."""
    return BadRequestHead(400, "malformed_http", sentence)


class Head(NamedTuple):
    """A request's first lines: names in small letters, in order; `version` is 1.0 or 1.1."""

    method: bytes
    target: bytes
    version: str
    headers: Sequence[tuple[bytes, bytes]]

    def check(self) -> None:
        """Raises BadRequestHead for other versions, CONNECT, and a Host that is not there once (RFC 9112, 3.2).

        Also for a target of over 8 kB.
        """
        if len(self.target) > _MAX_TARGET_BYTES:
            raise BadRequestHead(414, "target_too_long", f"path and query are longer than {_MAX_TARGET_BYTES} bytes")
        if self.version not in ("1.0", "1.1"):
            raise malformed("the request is not HTTP/1.1 or HTTP/1.0")
        if self.method == b"CONNECT":
            raise malformed("this is no proxy: CONNECT is not answered")
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and codings != [b"chunked"]:
            raise BadRequestHead(501, "unsupported_transfer_coding", "of transfer codings only chunked is understood")
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (self.version == "1.1" and not hosts):
            raise malformed(f"the request has {len(hosts)} Host headers; it must have one")
        if hosts and not _HOST.fullmatch(hosts[0]):
            raise malformed("the Host header is not a host and a port")

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits to be told to send its body; HTTP/1.0 knows no such thing (RFC 9110, 10.1.1)."""
        return self.version == "1.1" and (b"expect", b"100-continue") in (
            (name, value.lower()) for name, value in self.headers
        )

    def __bytes__(self) -> bytes:
        """The head again as it is sent."""
        lines = [b"%s: %s\r\n" % header for header in self.headers]
        return b"%s %s HTTP/%s\r\n%s\r\n" % (self.method, self.target, self.version.encode(), b"".join(lines))

    def scope(self) -> dict[str, Any]:
        """The ASGI scope, without `server` and `client`. Raises BadRequestHead for a target that is no URL or path."""
        try:
            url = httptools.parse_url(self.target)
            path = url.path.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError, AttributeError) as error:
            raise malformed() from error
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self.version,
            "method": self.method.decode("ascii"),
            "scheme": "http",
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "root_path": "",
            "headers": list(self.headers),
        }
