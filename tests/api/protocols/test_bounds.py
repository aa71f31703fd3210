"""Owns the tests of what every contract has from the way that they share: bounds, deadlines, refusals, traces."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest

from app.api.protocols import replies
from app.api.protocols.registry import MODULES
from app.domain import Timed
from app.errors import Overloaded
from app.telemetry.served import Served
from tests.api.conftest import ask, leaves_while_sending, picture, service
from tests.api.test_off_the_loop import note

RED = picture()
INSTANCES = json.dumps({"instances": [{"b64": base64.b64encode(RED).decode()}]}).encode()
DOORS = [
    ("POST", "/v1/models/m:predict", INSTANCES),
    ("POST", "/", RED),
    ("PUT", "/predictions/m", RED),
    ("POST", "/invocations", RED),
    ("POST", "/vertex/predict", INSTANCES),
]
every_door = pytest.mark.parametrize(("method", "path", "body"), DOORS)
EVERY: dict[str, Any] = {"protocols": list(MODULES), "model_aliases": ["m"]}


class Trace:
    """Keeps what it is told of one request."""

    trace_id, sampled, answer = "0" * 32, True, b"00-0-0-01"

    def __init__(self) -> None:
        self.images: list[int] = []

    def stage(self, name: str, started_at: float, ended_at: float) -> None:
        pass

    def image(self, index: int, started_at: float, answer: Timed) -> None:
        self.images.append(index)

    def end(self, served: Served) -> None:
        pass


class Traces:
    """Traces everything that it is asked to."""

    def __init__(self) -> None:
        self.begun: dict[str, Trace] = {}

    def begin(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], started_at: float) -> Trace:
        trace = self.begun[path] = Trace()
        return trace

    def close(self, timeout_s: float) -> None:
        pass


async def test_images_are_traced_and_probes_are_not() -> None:
    traces = Traces()
    async with service(traces, **EVERY) as s:
        for method, path, body in DOORS:
            assert (await s.client.request(method, path, content=body)).status_code == 200
        for path in ("/ping", "/health", "/"):
            await s.client.get(path)
    assert {path: trace.images for path, trace in traces.begun.items()} == {path: [0] for _, path, _ in DOORS}


@every_door
async def test_a_body_over_the_limit_is_not_read(method: str, path: str, body: bytes) -> None:
    async with service(max_body_bytes=1024, **EVERY) as s:
        answer = await s.client.request(method, path, content=body + b" " * 1024)
        assert answer.status_code == 413 and "limit" in answer.json()["error"]


@every_door
async def test_a_deadline_is_kept(method: str, path: str, body: bytes) -> None:
    async with service(**EVERY) as s:
        answer = await s.client.request(method, path, content=body, headers={"X-Request-Timeout-Ms": "0.001"})
        assert answer.status_code in (408, 504), answer.text


@every_door
async def test_a_refusal_comes_before_the_body_and_says_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: bytes
) -> None:
    def refuse(timeout_s: float) -> None:
        raise Overloaded("too much", 2.1)

    async def never() -> dict[str, Any]:
        raise AssertionError("the body was asked for")

    async with service(**EVERY) as s:
        monkeypatch.setattr(s.classifier, "check_admission", refuse)
        answer = await ask(s.app, method, path, receive=never)
    assert (answer.status, answer.headers[b"retry-after"]) == (503, b"3")


@every_door
async def test_who_leaves_is_counted_and_costs_nothing(method: str, path: str, body: bytes) -> None:
    async with service(**EVERY) as s:
        await ask(s.app, method, path, receive=leaves_while_sending())
        assert s.counted("vit_refusals_total", code="client_gone", stage="body") == 1
        assert s.classifier.slots_in_use == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/m:predict", {"instances": [base64.b64encode(RED).decode()] * 4, "parameters": {"top_k": 10}}),
        ("/", {"inputs": [base64.b64encode(RED).decode()] * 4, "parameters": {"function_to_apply": "none"}}),
    ],
)
async def test_long_answers_are_written_elsewhere(
    monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    async with service(**EVERY) as s:
        noted = note(monkeypatch, replies, "_written")
        for many in (500, 30):
            monkeypatch.setattr(replies, "_MANY_NUMBERS", many)
            assert (await s.client.post(path, json=body)).status_code == 200
        assert noted.on_loop == [True, False]
