"""Owns the applications that these tests talk to; does not test."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
from PIL import Image

from app.api.app import create_app
from app.bootstrap import open_classifier
from app.classifier import Classifier
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer

MODEL = "random:vit_pico_patch4_32"


class Service:
    """An application in this process, a client of it, and what lies behind."""

    def __init__(self, client: httpx.AsyncClient, classifier: Classifier, metrics: Metrics) -> None:
        self.client, self.classifier, self.metrics = client, classifier, metrics
        self.app = client._transport.app  # type: ignore[attr-defined]

    def counted(self, series: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(series, labels) or 0.0


@asynccontextmanager
async def service(tracer: Tracer | None = None, **options: object) -> AsyncIterator[Service]:
    settings = Settings(**{"model": MODEL, "max_batch_size": 2, "precision": "float32", "slots": 32, **options})  # type: ignore[arg-type]
    metrics = Metrics()
    async with open_classifier(settings, metrics) as classifier:
        await classifier.ready()
        transport = httpx.ASGITransport(create_app(settings, classifier, metrics, tracer))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Service(client, classifier, metrics)
        for _ in range(200):
            if not classifier.slots_in_use:
                break
            await asyncio.sleep(0.01)
        assert classifier.slots_in_use == 0, "a slot was lost"


def picture(colour: tuple[int, int, int] = (200, 30, 90), kind: str = "PNG", size: int = 40) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, kind)
    return buffer.getvalue()


class Answer(NamedTuple):
    """What an application sent through ASGI itself, without a client's politeness in between."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def leaves_while_sending() -> Callable[[], Awaitable[dict[str, Any]]]:
    """What a client sends that is gone after three bytes of its body."""
    messages: list[dict[str, Any]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"abc", "more_body": True},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop()

    return receive


async def ask(
    app: Callable[..., Awaitable[None]],
    method: str = "POST",
    path: str = "/v1/classify",
    headers: Sequence[tuple[bytes, bytes]] = (),
    receive: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    query: bytes = b"",
) -> Answer:
    """One request as raw ASGI messages; `receive` gives the body, an empty one by default."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list(headers),
    }
    async with asyncio.timeout(20):
        await app(scope, receive or body_of(b""), send)
    start, *rest = sent
    body = b"".join(message.get("body", b"") for message in rest)
    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * len(rest)]
    return Answer(start["status"], dict(start["headers"]), body)


def body_of(*chunks: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    """A body in pieces; after its end the client stays and says nothing."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return receive
