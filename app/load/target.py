"""Owns where the load goes: a URL → an address and the head of its requests; does not send them."""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from app.errors import SetupError, printable
from app.load.connection import Connection

_PORTS: Final = {"http": 80, "https": 443}
_CONNECT_S: Final = 10.0
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_OURS: Final = ("content-length", "transfer-encoding", "connection")  # without them as they are no answer is found
C = TypeVar("C", bound=Connection)


@dataclass(frozen=True, slots=True)
class Target:
    """A server: where it is, what it is called, and how it is spoken to. `path` has the URL's query."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    headers: tuple[tuple[str, str], ...] = ()
    address: str | None = None  # of `host`, once `located`

    def head(self, method: str, path: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """The first lines of a request, without the empty one; the user's headers replace ours of that name."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS["https" if self.tls else "http"] else f":{self.port}"
        every = {name.lower(): (name, value) for name, value in [("Host", host + port), *headers, *self.headers]}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in every.values())]
        return ("\r\n".join(lines) + "\r\n").encode("latin-1")

    def request(self, method: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        """A whole request to `path`."""
        return self.head(method, self.path, headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body

    async def connect(self, protocol: Callable[[], C]) -> C:
        """A new connection. Raises OSError, of which TimeoutError is one, if nobody takes it."""
        async with asyncio.timeout(_CONNECT_S):
            _, made = await asyncio.get_running_loop().create_connection(
                *(protocol, self.address or self.host, self.port),
                ssl=self.tls,
                server_hostname=self.host if self.tls else None,
            )
        return made


async def located(target: Target) -> Target:
    """With the first of its addresses that takes a connection, so that looking it up is no part of any request.

    Raises SetupError if none does.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SetupError(printable(f"{target.host}: there is no such host: {error.strerror}")) from error
    reasons = []
    for *_, address in found:
        at = replace(target, address=str(address[0]))
        try:
            (await at.connect(lambda: Connection(lambda *_: None))).close()
            return at
        except OSError as error:
            reasons.append(str(error) or "nobody answers")
    raise SetupError(printable(f"{target.host}, port {target.port}: no connection: {reasons[0]}"))


def target_of(url: str, headers: Sequence[str] = (), ca_file: Path | None = None, insecure: bool = False) -> Target:
    """The server at `url`, http or https; without a path in it `path` is empty.

    `ca_file`: certificates to trust instead of the system's; `insecure`: any is good. Raises SetupError.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or _PORTS.get(parts.scheme, 0)
        if not (parts.hostname and port) or parts.username or not url.isascii() or re.search(r"[\x00-\x20]", url):
            raise ValueError("it should be such as http://localhost:8000 or https://[::1]:8443/path")
    except ValueError as error:
        raise SetupError(printable(f"{url}: is no address of a server: {error}")) from error
    path = parts.path.removesuffix("/") if not parts.query else parts.path or "/"
    query = f"?{parts.query}" if parts.query else ""
    tls = _tls(ca_file, insecure) if parts.scheme == "https" else None
    return Target(parts.hostname, port, path + query, tls, tuple(_header(each) for each in headers))


def _header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text)
    if match is None or match[1].lower() in _OURS:
        raise SetupError(printable(f"{text!r} is no header that can be sent: write 'Name: value'"))
    return match[1], match[2]


def _tls(ca_file: Path | None, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one
        raise SetupError(printable(f"{ca_file}: holds no certificates: {error}")) from error
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
