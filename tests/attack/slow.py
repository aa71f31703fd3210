"""Owns attacks by crowds of connections that say little or read nothing; does not hammer."""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from tests.attack.registry import Target, attack, together
from tests.attack.report import Report
from tests.attack.wire import HOST, connect, hear, request

_LARGE: Final = request(b"POST /v1/classify HTTP/1.1", b"", b"Content-Length: 16000000")
_CHUNKED: Final = request(b"POST /v1/classify HTTP/1.1", b"", b"Transfer-Encoding: chunked")
_LIMIT: Final = 256  # descriptors of the server, where a limit is set
_UNREAD: Final = request(b"GET /openapi.json HTTP/1.1") * 8


async def crowd(
    target: Target, report: Report, count: int, starts: Iterable[bytes], piece: bytes = b"", every_s: float = 1.0
) -> None:
    """So many connections, each of which sends a start and then a piece now and then, until the time is over."""
    until = asyncio.get_running_loop().time() + target.seconds
    starts = list(starts)

    async def one(number: int) -> None:
        await asyncio.sleep(number / count * min(1.0, target.seconds / 3))  # a burst of 512 is another attack
        try:
            reader, writer = await connect(target.port, target.seconds)
        except OSError:
            report.fates["unconnected"] += 1
            return
        sending = asyncio.create_task(_dribble(writer, starts[number % len(starts)], piece, every_s))
        left_s = max(0.1, until - asyncio.get_running_loop().time())
        heard = await hear(reader, answers=10**9, patience_s=left_s, quiet_s=0)
        sending.cancel()
        writer.transport.abort()
        report.heard(heard, most=1)

    await together(map(one, range(count)), count)


async def _dribble(writer: asyncio.StreamWriter, start: bytes, piece: bytes, every_s: float) -> None:
    with suppress(OSError):
        writer.write(start)
        while piece:
            await asyncio.sleep(every_s)
            writer.write(piece)
            await writer.drain()


@attack("512 bodies of 1 byte a second")
async def slow_bodies(target: Target, report: Report) -> None:
    """Each announces 16 MB; together they send 4 kbit/s."""
    await crowd(target, report, 512, [_LARGE + b"a"], b"a")


@attack("512 bodies of 2 kB a second")
async def less_slow_bodies(target: Target, report: Report) -> None:
    """Perhaps above the least rate, and still for two hours."""
    await crowd(target, report, 512, [_LARGE, _CHUNKED], b"190\r\n" + b"a" * 400 + b"\r\n", 0.2)


@attack("512 bodies that stop at a quarter")
async def held_bodies(target: Target, report: Report) -> None:
    """128 kB at once, then nothing: 64 MB are held by those who will never end."""
    await crowd(target, report, 512, [_LARGE + bytes(2**17), _CHUNKED + b"e00000\r\n" + bytes(2**17)], b"\0")


@attack("64 bodies of 2.5 MB a second")
async def large_bodies(target: Target, report: Report) -> None:
    """Fast enough for any least rate: hundreds of megabytes, none of which is ever a whole body."""
    await crowd(target, report, 64, [_LARGE, _CHUNKED + b"f00000\r\n"], bytes(2**18), 0.1)


@attack("512 slow heads")
async def slow_heads(target: Target, report: Report) -> None:
    """Slowloris: a field now and then."""
    await crowd(
        target,
        report,
        512,
        [b"GET /livez HTTP/1.1\r\nHost: t\r\n", b"POST /v1/classify HTTP/1.1\r\n"],
        b"A: b\r\n",
        0.5,
    )


@attack("100 clients that read nothing")
async def unread(target: Target, report: Report) -> None:
    """Each asks for eight large answers, into a buffer of two kilobytes."""
    writers = []
    with suppress(OSError):
        for _ in range(100):
            await asyncio.sleep(0.01)
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (HOST, target.port))
            reader, writer = await asyncio.open_connection(sock=sock)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # the one method of a read transport
            writer.write(_UNREAD)
            writers.append((reader, writer))
    await asyncio.sleep(target.seconds)
    for _, writer in writers:
        report.fates["held to the end"] += 1
        writer.transport.abort()


@attack("400 idle connections at 256 descriptors", descriptors=_LIMIT)
async def idle(target: Target, report: Report) -> None:
    """Who says nothing must make room for who does."""
    await crowd(target, report, 400, [b""])


@attack("400 half heads at 256 descriptors", descriptors=_LIMIT)
async def half_heads(target: Target, report: Report) -> None:
    """Nor is half a head a reservation."""
    await crowd(target, report, 400, [b"GET /livez HTTP/1.1\r\nHos"])


@attack("400 half bodies at 256 descriptors", descriptors=_LIMIT)
async def half_bodies(target: Target, report: Report) -> None:
    """Nor half a body, of which there is a byte now and then."""
    await crowd(target, report, 400, [_LARGE + b"a"], b"a")


@attack("400 answered and kept at 256 descriptors", descriptors=_LIMIT)
async def kept(target: Target, report: Report) -> None:
    """Keep-alive is a courtesy that ends when others wait."""
    await crowd(target, report, 400, [request(b"GET /livez HTTP/1.1")])
