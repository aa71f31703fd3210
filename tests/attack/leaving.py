"""Owns attacks by clients that hang up, by half or wholly; does not test those who stay."""

import asyncio
import random
import socket
import struct
import time
from contextlib import suppress
from typing import Final

from tests.attack.registry import Target, attack, together
from tests.attack.report import Report
from tests.attack.wire import connect, request, talk

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


@attack("half-close")
async def half_close(target: Target, report: Report) -> None:
    """Behind a whole request it gets its answer, as `nc -N` and HTTP/1.0 clients do it; in a body it costs nothing."""
    whole = request(body=target.photograph)
    plain = request(b"GET /livez HTTP/1.1")

    async def one(name: str, *sent: bytes, wants: tuple[int, ...], answers: int = 1) -> None:
        heard = await talk(target.port, *sent, answers=answers, half_close=True, patience_s=3)
        report.heard(heard, answers)
        report.want(f"half-close {name}", heard, wants)
        if len(heard.answers) < answers and 503 not in heard.statuses:
            report.wrong(f"half-close {name}: {len(heard.answers)} answers of {answers}")

    await asyncio.gather(
        one("behind a photograph", whole, wants=(200,)),
        one("in a segment of its own", whole, b"", wants=(200,)),
        one("behind a GET", plain, wants=(200,)),
        one("behind three", plain, whole, plain, wants=(200,), answers=3),
        one("behind a body in a later segment", whole[:90], whole[90:], wants=(200,)),
        one("in a body", whole[:-10], wants=(0, 400, 408), answers=0),
        one("in a head", whole[:40], wants=(0, 400, 408), answers=0),
        one("at once", b"", wants=(0,), answers=0),
    )


@attack("clients that leave")
async def leave(target: Target, report: Report) -> None:
    """In the head, in the body, in the queue, before the answer is read; by FIN or by RST."""
    whole, chance = request(body=target.photograph), random.Random(3)
    until = time.monotonic() + target.seconds

    async def one() -> None:
        while time.monotonic() < until:
            with suppress(OSError):
                _, writer = await connect(target.port)
                if chance.random() < 0.5:
                    sock: socket.socket = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.write(whole[: chance.randrange(len(whole))] if chance.random() < 0.7 else whole)
                await asyncio.sleep(chance.random() * 0.1)
                writer.transport.abort()
                report.fates["left"] += 1

    await together((one() for _ in range(16)), 16)


@attack("Expect: 100-continue")
async def expect(target: Target, report: Report) -> None:
    """HTTP/1.1 clients get their 100; those of HTTP/1.0 do not know it, and refused ones are not asked to send."""

    async def one(name: str, interim: int, version: bytes, wants: tuple[int, ...], *fields: bytes) -> None:
        head = request(b"POST /v1/classify HTTP/" + version, b"", b"Expect: 100-continue", *fields)
        heard = await talk(target.port, head, target.photograph, pause_s=0.1, patience_s=3)
        report.heard(heard, most=1)
        report.want(f"Expect {name}", heard, wants)
        if heard.interim != interim and 503 not in heard.statuses:
            report.wrong(f"Expect {name}: {heard.interim} answers of 100, not {interim}")

    length = b"Content-Length: %d" % len(target.photograph)
    await one("of HTTP/1.1", 1, b"1.1", (200,), length)
    await one("of HTTP/1.0", 0, b"1.0", (200,), length)
    await one("of too large a body", 0, b"1.1", (413,), b"Content-Length: 99999999")
    odd = await talk(target.port, request(b"GET /livez HTTP/1.1", b"", b"Expect: everything"))
    report.heard(odd, most=1)
    report.want("Expect everything", odd, (200, 417))
