"""Owns the clients that mean well: photographs at a moderate rate, and probes; does not judge how they fared."""

import asyncio
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from tests.attack.beside import Asker, Caller, Round, timed
from tests.attack.wire import Answer, request

PHOTOGRAPHS_PER_S: Final = 10.0
PROBES_PER_S: Final = 20.0
IN_TIME_S: Final = 1.0
_PATIENCE_S: Final = 5.0
_PROBE_PATIENCE_S: Final = 2.0
_RETRY_AFTER: Final = re.compile(rb"retry-after: *(\d+)", re.IGNORECASE)


@dataclass
class Photographs:
    """Sends each in turn, every second time on a kept connection; the right label is what it was without an attack."""

    port: int
    known: list[tuple[bytes, str]]  # a photograph and its label

    async def __call__(self, number: int) -> Round:
        """One photograph; a 503 is tried once more where Retry-After still fits into the second."""
        image, label = self.known[number % len(self.known)]
        wait_s: list[float] = []

        async def once() -> str:
            answer = await self._caller.ask(request(body=image), number % 2 == 0, _PATIENCE_S)
            if answer.status == 503 and (found := _RETRY_AFTER.search(answer.head)):
                wait_s.append(float(found[1]))
            return _outcome(answer, label)

        first = await timed(once())
        if first.outcome != "503" or not wait_s or first.seconds + wait_s[0] >= IN_TIME_S:
            return first
        await asyncio.sleep(wait_s[0])
        again = await timed(once())
        return Round(first.seconds + wait_s[0] + again.seconds, again.outcome, first.outcome)

    @cached_property
    def _caller(self) -> Caller:
        return Caller(self.port)


def _outcome(answer: Answer, label: str) -> str:
    if answer.status != 200:
        return str(answer.status)
    predictions = json.loads(answer.body).get("predictions") or [{}]
    return "right" if predictions[0].get("label") == label else "wrong"


@dataclass
class Probes:
    """`/livez` on every port, by turns on a new and on a kept connection, as orchestrators and proxies do."""

    ports: tuple[int, ...]

    async def __call__(self, number: int) -> Round:
        """One probe."""

        async def once() -> str:
            caller = self._callers[number % len(self.ports)]
            keep = number // len(self.ports) % 4 == 0
            probe = request(b"GET /livez HTTP/1.1")
            try:
                answer = await caller.ask(probe, keep, _PROBE_PATIENCE_S)
            except ConnectionError:
                if not keep:
                    raise
                # Ended while it was idle: proxies try once more what may be repeated (RFC 9112, 9.3.1).
                answer = await caller.ask(probe, False, _PROBE_PATIENCE_S)
            return "right" if answer.status == 200 else str(answer.status)

        return await timed(once())

    @cached_property
    def _callers(self) -> list[Caller]:
        return [Caller(port) for port in self.ports]


def photographs(port: int, known: list[tuple[bytes, str]]) -> Asker:
    """The honest load."""
    return Asker(Photographs(port, known), PHOTOGRAPHS_PER_S)


def probes(*ports: int) -> Asker:
    """The prober."""
    return Asker(Probes(ports), PROBES_PER_S)
