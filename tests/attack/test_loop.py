"""Owns the proof that no input keeps the event loop for longer than 5 ms; does not measure how long answers take."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from tests.attack import blocking, bombs, contracts, husks, suite, traps  # noqa: F401  # the suite enters all attacks
from tests.attack.registry import ATTACKS, Target
from tests.attack.report import Report
from tests.attack.watched import Callback, LoopWatch, Watched, watched
from tests.attack.wire import request, talk
from tests.imaging.files import encode, picture

MOST_S = 0.005
PHOTOGRAPH = encode(picture(90, 60), "JPEG")
DOCUMENTS = tuple(
    request(b"GET " + path + b" HTTP/1.1") for path in (b"/openapi.json", b"/docs", b"/", b"/v1/model", b"/metrics")
)


@pytest.fixture(scope="module")
def server() -> Iterator[Watched]:
    """A thousand classes, no forward pass: the loop has the most to do."""
    with watched(model="noop", model_aliases=(contracts.MODEL,)) as subject:
        yield subject


def bodies(*files: bytes) -> tuple[bytes, ...]:
    return tuple(request(body=file) for file in files)


REQUESTS: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "documents": lambda: DOCUMENTS,
    "photograph": lambda: bodies(PHOTOGRAPH),
    "forms": blocking.forms,
    "heads of 60 kB": blocking.long_heads,
    "chunks of one byte": blocking.chunks,
    "JSON of 16 MB": blocking.documents,
    "JSON of 32 images": lambda: blocking.small_documents(PHOTOGRAPH),
    "gzip": blocking.compressed,
    "small bombs": lambda: bodies(*traps.webps(), *traps.others(), *traps.avifs(), traps.json_of_webps()),
    "PNG and JPEG of empty chunks": lambda: bodies(*husks.pngs()[:2], *husks.jpegs()[:2]),
    "GIF, WebP and AVIF of empty blocks": lambda: bodies(husks.gifs()[0], *husks.boxes()),
    "TIFF and EXIF": lambda: bodies(*husks.tiffs(), *husks.exifs()),
    "tensors that lie": lambda: contracts.tensors(PHOTOGRAPH),
    "JSON of others": contracts.texts,
    "paths to models": contracts.long_paths,
    "raw of 16 MB": lambda: bodies(b"\xff\xd8\xff" + bytes(16 * 2**20 - 64)),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_no_request_keeps_the_loop(server: Watched, name: str) -> None:
    slow_ones = []
    for sent in REQUESTS[name]():
        server.cut()
        longest = []
        for _ in range(3):  # the best of three: the first touch of a page of memory is the kernel's time
            asyncio.run(talk(server.port, sent, patience_s=2))
            longest.append(server.cut())
            if longest[-1].seconds <= MOST_S:
                break
        else:
            slow_ones.append(f"{told(min(longest))} of {sent[:60]!r} ({len(sent)} bytes)")
    assert not slow_ones, "\n".join(slow_ones)


OF_BODIES = (blocking.__name__, bombs.__name__)  # what these send is in REQUESTS


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.run.__module__ not in OF_BODIES])
def test_no_attack_keeps_the_loop(server: Watched, name: str) -> None:
    server.cut()
    longest = []
    for _ in range(3):
        asyncio.run(ATTACKS[name].run(Target(server.port, 0.5, PHOTOGRAPH, server.grpc_port), Report()))
        longest.append(server.cut())
        if longest[-1].seconds <= MOST_S:
            return
    raise AssertionError(told(min(longest)))


def told(callback: Callback) -> str:
    return f"{1000 * callback.seconds:.1f} ms: {callback.what}"


def test_the_watcher_sees_a_callback_of_ten_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.events.Handle, "_run", asyncio.events.Handle._run)  # is put back
    watch = LoopWatch()
    watch.install()

    async def busy() -> None:
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass

    async def idle() -> None:
        await asyncio.sleep(0.05)

    asyncio.run(idle())
    assert watch.cut().seconds < MOST_S
    asyncio.run(busy())
    assert watch.cut().seconds >= 0.01
    asyncio.run(idle())
    assert watch.cut().seconds < MOST_S  # it forgot
