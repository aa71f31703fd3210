"""Where long work is done, however fast the machine: in another thread, or each piece in a turn of the loop."""

import asyncio
import gzip
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.api import server
from app.domain import Classification
from app.errors import DeadlineExceeded
from tests.api.conftest import picture, service

URL = "/v1/classify"


class Noted:
    """Calls through, and notes for each call whether it was on the event loop's thread."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call, self._loop = call, threading.get_ident()
        self.on_loop: list[bool] = []

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.on_loop.append(threading.get_ident() == self._loop)
        return self._call(*given, **named)


def note(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Noted:
    noted = Noted(getattr(owner, name))
    monkeypatch.setattr(owner, name, noted)
    return noted


async def test_metrics_are_written_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as s:
        noted = note(monkeypatch, s.metrics, "render")
        assert (await s.client.get("/metrics")).status_code == 200
        assert noted.on_loop == [False]


async def test_the_description_is_made_elsewhere_before_anybody_asks() -> None:
    class Ready:
        info = SimpleNamespace(name="m")

        async def ready(self) -> None:
            pass

    noted = Noted(dict)
    app: Any = SimpleNamespace(openapi=noted)
    await server._announce(Ready(), app)  # type: ignore[arg-type]
    assert noted.on_loop == [False]


async def test_compressed_and_large_bodies_are_undone_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.api import body
    from app.api.routes import classify

    decompress, unpack = note(monkeypatch, body, "decompress"), note(monkeypatch, classify, "unpack")
    joined = note(monkeypatch, body, "_joined")
    async with service() as s:
        await s.client.post(URL, content=gzip.compress(picture()), headers={"Content-Encoding": "gzip"})
        assert (decompress.on_loop, unpack.on_loop) == ([False], [])
        for size in (65_536, 65_537):
            await s.client.post(URL, content=b"x" * size)
        assert (unpack.on_loop, joined.on_loop) == ([True, False], [])
        await s.client.post(URL, content=b"x" * 2**21)
        assert (unpack.on_loop, joined.on_loop) == ([True, False, False], [False])


async def test_large_answers_are_written_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.api.routes import classify

    monkeypatch.setattr(classify, "_MANY_PREDICTIONS", 15)
    noted = note(monkeypatch, classify, "JSONResponse")
    async with service() as s:
        for images in (1, 2, 3):
            answer = await s.client.post(f"{URL}?top_k=7", files=[("image", picture())] * images)
            assert answer.status_code == 200
        assert noted.on_loop == [True, True, False]


@pytest.mark.parametrize("images", [1, 3])
async def test_each_header_is_read_once(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    async with service() as s:
        noted = note(monkeypatch, s.classifier._decoders, "examine")
        await s.client.post(URL, files=[("image", picture())] * images)
        assert len(noted.on_loop) == images


async def test_each_header_has_a_turn_of_its_own_and_takes_of_the_requests_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turn, examined_in, given = 0, list[int](), list[float]()

    async def turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def classify(data: bytes, *, timeout_s: float, **_: object) -> Classification:
        given.append(timeout_s)
        raise DeadlineExceeded("")

    async with service() as s:
        examine = s.classifier.examine

        def slow(data: bytes) -> Any:
            examined_in.append(turn)
            threading.Event().wait(0.1)
            return examine(data)

        monkeypatch.setattr(s.classifier, "examine", slow)
        monkeypatch.setattr(s.classifier, "classify", classify)
        counting = asyncio.create_task(turns())
        await s.client.post(URL, files=[("image", picture())] * 4, headers={"X-Request-Timeout-Ms": "2000"})
        counting.cancel()
    assert len(set(examined_in)) == 4
    assert len(given) == 4 and max(given) <= 1.6
