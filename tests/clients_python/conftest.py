"""Owns how these tests ask a server, real or not, through either client; does not test."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import httpx
import pytest
from vit_client import AsyncClient, Classification, Client, Outcome, Retry, VitError

from tests.end_to_end.conftest import cat as cat
from tests.end_to_end.conftest import embedded as embedded

Handler = Callable[[httpx.Request], httpx.Response]
ANSWER = {
    "model": "m",
    "activation": "softmax",
    "predictions": [{"label": "cat", "id": "n02123045", "index": 3, "score": 0.9}],
    "timing_ms": {"decode": 1.0, "queue": 0.1, "inference": 2.0, "total": 3.2},
    "batch_size": 2,
    "confidence": "low",
    "request_id": "x",
}


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.waits = 1000.0, list[float]()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class Door:
    """One of the two clients; `retry` without chance: every wait is the longest that it could be."""

    def __init__(self, kind: Literal["sync", "async"]) -> None:
        self.kind, self.time = kind, Time()

    def calls(self, handler: Handler, *each: dict[str, Any], **options: Any) -> list[Classification | VitError]:
        """What becomes of several calls of `classify` in a row, by one client."""
        transport = httpx.MockTransport(lambda request: _unread(handler(request)))
        options = {"retry": Retry(chance=lambda: 1.0), "transport": transport, "clock": self.time.clock, **options}
        results = list[Classification | VitError]()

        async def ask() -> None:
            async with AsyncClient("http://server", sleep=self.time.sleep_async, **options) as client:
                for call in each:
                    try:
                        results.append(await client.classify(**call))
                    except VitError as error:
                        results.append(error)

        if self.kind == "async":
            asyncio.run(ask())
            return results
        with Client("http://server", sleep=self.time.sleep, **options) as client:
            for call in each:
                try:
                    results.append(client.classify(**call))
                except VitError as error:
                    results.append(error)
        return results

    def classify(self, handler: Handler, call: dict[str, Any] | None = None, **options: Any) -> Classification:
        """The answer to one call; `call`: its arguments. Raises its error."""
        [result] = self.calls(handler, {"image": b"pixels", **(call or {})}, **options)
        return Outcome(0, b"", result).unwrap()


def _unread(told: httpx.Response) -> httpx.Response:
    """The same, as httpx takes a response only once."""
    return httpx.Response(told.status_code, headers=told.headers, content=told.content)


@pytest.fixture(params=["sync", "async"])
def door(request: pytest.FixtureRequest) -> Door:
    """Either client."""
    return Door(request.param)


def in_turn(*answers: httpx.Response | Exception) -> Handler:
    """A server that answers these, and then as it should."""
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        told = next(left, None) or httpx.Response(200, json=ANSWER)
        if isinstance(told, Exception):
            raise told
        return told

    return answer


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    """As the server words it."""
    body = {"error": f"it is {code}", "code": code, "request_id": "theirs"}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers={**names, "x-request-id": "theirs"})
