"""Owns attacks that hide a request in another's body; does not know which parser falls for them."""

import itertools
import random
from collections.abc import Awaitable, Iterator
from typing import Final, NamedTuple

from tests.attack.registry import Target, attack, together
from tests.attack.report import SMUGGLED, Report
from tests.attack.wire import chunked, request, talk

INNER: Final = request(b"GET /v1/model HTTP/1.1", b"", b"X-Request-ID: " + SMUGGLED)
_BEFORE: Final = request(b"GET /livez HTTP/1.1")
_WISHES: Final = (
    b"Connection: Upgrade\r\nUpgrade: h2c",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA",
    b"upgrade: websocket\r\nconnection: keep-alive, upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    b"Upgrade:TLS/1.0\r\nConnection:upgrade",
)
_AT_ONCE: Final = 24


class Layout(NamedTuple):
    """How one request with a wish for another protocol is written, and what stands before it."""

    wish: bytes
    place: int  # in a pipeline, from 0
    version: bytes
    is_chunked: bool
    later: bool  # whether the body waits for a segment of its own
    is_photograph: bool


def segments(layout: Layout, split_at: int, photograph: bytes) -> list[bytes]:
    """The stream in two segments, the first `split_at` bytes of the head in the first, or in three."""
    body = photograph if layout.is_photograph else INNER
    wire_body = chunked(body, 700) if layout.is_chunked else body
    framing = b"Transfer-Encoding: chunked" if layout.is_chunked else b"Content-Length: %d" % len(body)
    fields = [layout.wish, framing, b"Connection: keep-alive"] if layout.version == b"1.0" else [layout.wish, framing]
    head = request(b"POST /v1/classify HTTP/" + layout.version, b"", *fields)
    first = _BEFORE * layout.place + head[:split_at]
    return [first, head[split_at:], wire_body] if layout.later else [first, head[split_at:] + wire_body]


def every_split(layout: Layout) -> range:
    """From none of the head in the first segment to all of it."""
    return range(len(segments(layout, 10**9, b"")[0]) - len(_BEFORE) * layout.place + 1)


async def _probe(target: Target, report: Report, layout: Layout, split_at: int) -> None:
    sent = [segment for segment in segments(layout, split_at, target.photograph) if segment]
    expected = layout.place + 1
    heard = await talk(target.port, *sent, answers=expected, pause_s=0.015, quiet_s=0.05)
    report.heard(heard, most=expected)
    last = heard.statuses[layout.place] if len(heard.answers) >= expected else 0
    right = (200,) if layout.is_photograph else (415,)
    # The chunks of HTTP/1.0 mean nothing, so a server may refuse them, and an Upgrade of HTTP/1.0 may be refused too.
    allowed = (*right, 400, 501, 505) if layout.version == b"1.0" and layout.is_chunked else right
    if last not in (*allowed, 503):
        report.wrong(f"Upgrade at place {layout.place}: {last or 'no answer'}, not {' or '.join(map(str, allowed))}")


@attack("upgrade, split at every byte")
async def split_at_every_byte(target: Target, report: Report) -> None:
    """Every position of the head, as the first, second and third of a pipeline; the body comes with it."""
    layouts = itertools.product(_WISHES[:1], (0, 1, 2), (b"1.1",), (False,), (False,), (False, True))
    probes = (
        _probe(target, report, layout, split_at)
        for layout in itertools.starmap(Layout, layouts)
        for split_at in every_split(layout)
    )
    await together(probes, _AT_ONCE)


@attack("upgrade, every layout")
async def every_layout(target: Target, report: Report) -> None:
    """All wishes, versions, framings and bodies, each split at some places by chance: the same ones at every run."""
    layouts = itertools.product(_WISHES, (0, 1, 2), (b"1.1", b"1.0"), (False, True), (False, True), (False, True))
    chance = random.Random(14)

    def probes() -> Iterator[Awaitable[None]]:
        for layout in itertools.starmap(Layout, layouts):
            head = every_split(layout)
            for split_at in (head[-1], head[-3], chance.choice(head), chance.choice(head)):
                yield _probe(target, report, layout, split_at)

    await together(probes(), _AT_ONCE)
