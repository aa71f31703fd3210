"""Owns attacks by sheer number: requests, deadlines, connections; does not make any of them large."""

import asyncio
import time
from contextlib import suppress
from typing import Final

from tests.attack.registry import Target, attack, hammer, together
from tests.attack.report import Report
from tests.attack.wire import connect, parse, request, talk

_GET: Final = request(b"GET /livez HTTP/1.1")


@attack("timeouts of a millisecond")
async def tiny_timeouts(target: Target, report: Report) -> None:
    """Decoded for nobody, if it is decoded; and each of them a 504."""
    values = (b"1", b"0.001", b"5", b"20")
    head = b"POST /v1/classify HTTP/1.1"
    requests = [request(head, target.photograph, b"X-Request-Timeout-Ms: " + value) for value in values]
    await hammer(target, report, requests, clients=8, per_s=80)


@attack("6,000 pipelined GETs")
async def pipelined(target: Target, report: Report) -> None:
    """More than a parser should hand on before the first is answered."""
    until = time.monotonic() + target.seconds

    async def one() -> None:
        while time.monotonic() < until:
            report.heard(await talk(target.port, _GET * 6000, answers=6000, patience_s=2))
            await asyncio.sleep(0.2)

    await together((one() for _ in range(4)), 4)


@attack("endless pipelining")
async def endless(target: Target, report: Report) -> None:
    """Photographs, junk and GETs on and on, eight at a time, by clients that read their answers."""
    eight = _GET * 2 + request(body=b"no picture") * 4 + _GET * 2
    until = time.monotonic() + target.seconds

    async def one() -> None:
        while time.monotonic() < until:
            with suppress(OSError):
                reader, writer = await connect(target.port)
                while time.monotonic() < until:
                    writer.write(eight)
                    received = b""
                    while len(parse(received)[0]) < 8:
                        async with asyncio.timeout(3):
                            chunk = await reader.read(65536)
                        if not chunk:
                            raise ConnectionError
                        received += chunk
                    report.fates["answered eight"] += 1
                    await asyncio.sleep(0.02)
                writer.transport.abort()

    await together((one() for _ in range(8)), 8)


@attack("connections that come and go")
async def churn(target: Target, report: Report) -> None:
    """Hundreds a second, without a word or with three letters."""
    until = time.monotonic() + target.seconds

    async def one(said: bytes) -> None:
        while time.monotonic() < until:
            with suppress(OSError):
                _, writer = await connect(target.port)
                writer.write(said)
                writer.transport.abort()
                report.fates["came and went"] += 1
            await asyncio.sleep(0.01)

    await together(map(one, (b"", b"GET", b"", b"\r\n", _GET, b"\0")), 6)


@attack("refused bodies that go on")
async def refused_bodies(target: Target, report: Report) -> None:
    """Told 413 at once, and sending on regardless."""
    large = request(b"POST /v1/classify HTTP/1.1", b"", b"Content-Length: 999999999") + bytes(2**22)
    chunks = (
        request(b"POST /v1/classify HTTP/1.1", b"", b"Transfer-Encoding: chunked")
        + (b"100000\r\n" + bytes(2**20) + b"\r\n") * 20
    )
    await hammer(target, report, [large, chunks], clients=4, per_s=8)


@attack("methods and paths that are none")
async def nothing_there(target: Target, report: Report) -> None:
    """Each its own label in the metrics, if those are kept by what strangers write."""
    requests = [request(b"GET /%d%s HTTP/1.1" % (number, b"x" * 200)) for number in range(400)]
    requests += [
        request(b"DELETE /v1/classify HTTP/1.1"),
        request(b"PURGE /livez HTTP/1.1"),
        request(b"OPTIONS * HTTP/1.1"),
    ]
    await hammer(target, report, requests, clients=8, per_s=150)
