"""Owns bytes to and from a port, and where one answer ends; does not know what is hostile."""

import asyncio
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

HOST: Final = "127.0.0.1"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_ID: Final = re.compile(rb"\r\nx-request-id:[ \t]*([^\r]*)", re.IGNORECASE)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Answer(NamedTuple):
    """One answer; status 0 stands for bytes that are none."""

    status: int
    head: bytes
    body: bytes

    @property
    def request_id(self) -> bytes:
        """Whose answer it says it is."""
        found = _ID.search(self.head)
        return found[1] if found else b""


class Heard(NamedTuple):
    """All that one connection was told, and its `end`: open, closed or reset."""

    answers: list[Answer]
    interim: int  # answers such as 100 Continue
    end: str

    @property
    def statuses(self) -> list[int]:
        """In the order of the answers."""
        return [answer.status for answer in self.answers]


def parse(received: bytes) -> tuple[list[Answer], int, bytes]:
    """The whole answers, the number of interim ones among them, and what is left of the next."""
    answers, interim, at = [], 0, 0
    while at < len(received):
        if not (status_line := _STATUS_LINE.match(received, at)):
            if len(received) - at < 13 and b"HTTP/1.1 ".startswith(received[at : at + 9]):
                break
            answers.append(Answer(0, b"", received[at:]))
            return answers, interim, b""
        status = int(status_line[1])
        if (end := received.find(b"\r\n\r\n", at)) < 0:
            break
        head, end = received[at:end], end + 4
        if status < 200:
            interim, at = interim + 1, end
            continue
        length = _LENGTH.search(head)
        whole = end + int(length[1]) if length else len(received)  # without a length it goes on to the end
        if len(received) < whole:
            break
        answers.append(Answer(status, head, received[end:whole]))
        at = whole
    return answers, interim, received[at:]


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def connect(port: int, patience_s: float = 5.0) -> Streams:
    """Raises OSError, of which TimeoutError is one, if nobody takes it."""
    async with asyncio.timeout(patience_s):
        return await asyncio.open_connection(HOST, port, limit=2**20)


async def hear(reader: asyncio.StreamReader, answers: int, patience_s: float, quiet_s: float) -> Heard:
    """Reads until the end, or `patience_s` for that many answers and `quiet_s` more, in which another may come."""
    received, end = b"", "open"
    loop = asyncio.get_running_loop()
    until, enough = loop.time() + patience_s, False
    while end == "open":
        try:
            async with asyncio.timeout_at(until):
                chunk = await reader.read(2**18)
        except TimeoutError:
            break
        except OSError:
            end = "reset"
        else:
            received += chunk
            end = end if chunk else "closed"
        if not enough and received and len(parse(received)[0]) >= answers:
            until, enough = loop.time() + quiet_s, True
    got, interim, _ = parse(received)
    return Heard(got, interim, end)


async def talk(
    port: int,
    *segments: bytes,
    answers: int = 1,
    pause_s: float = 0.01,
    patience_s: float = 5.0,
    quiet_s: float = 0.0,
    half_close: bool = False,
) -> Heard:
    """Sends the segments, each as a write of its own, on a new connection, and hears what comes meanwhile."""
    try:
        reader, writer = await connect(port, patience_s)
    except OSError as error:
        return Heard([], 0, "unconnected" if isinstance(error, TimeoutError) else "reset")
    sending = asyncio.create_task(_send(writer, segments, pause_s, half_close))
    try:
        return await hear(reader, answers, patience_s, quiet_s)
    finally:
        sending.cancel()
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, segments: Sequence[bytes], pause_s: float, half_close: bool) -> None:
    with suppress(OSError):  # it was sent away before it had said all; the reader sees how
        for number, segment in enumerate(segments):
            if number:
                await asyncio.sleep(pause_s)
            writer.write(segment)
            await writer.drain()
        if half_close:
            writer.write_eof()


def request(
    head: bytes = b"POST /v1/classify HTTP/1.1", body: bytes = b"", *fields: bytes, length: bool = True
) -> bytes:
    """A whole request; Host and Content-Length are filled in."""
    lines = [head, b"Host: t", *fields]
    if body and length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 2**30) -> bytes:
    """The body in chunks of `size`, with its end."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
