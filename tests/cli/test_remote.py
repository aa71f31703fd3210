"""Owns the tests of cli/remote.py."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from app.cli import remote
from app.cli.remote import RemoteClassifier, RemoteError
from app.errors import InferenceFailed, SetupError

Handler = Callable[[httpx.Request], httpx.Response]
ANSWER = {
    "model": "m",
    "predictions": [{"label": "cat", "index": 3, "score": 0.9}],
    "timing_ms": {"decode": 1.0, "queue": 0.1, "inference": 2.0, "total": 3.2},
    "batch_size": 2,
    "confidence": "low",
    "request_id": "x",
}


def behind(handler: Handler) -> RemoteClassifier:
    return RemoteClassifier("http://server/", 4, httpx.MockTransport(handler))


async def test_an_answer_is_that_of_the_classifier_in_process():
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, request.url.params["top_k"], request.content) == ("/v1/classify", "3", b"pixels")
        return httpx.Response(200, json=ANSWER)

    async with behind(answer) as server:
        told = await server.classify(b"pixels", top_k=3)
    assert [(p.label, p.index, p.score) for p in told.predictions] == [("cat", 3, 0.9)]
    assert (told.model, told.batch_size, told.confidence, told.notice) == ("m", 2, "low", None)
    assert told.timing.total_ms == 3.2


async def test_a_refusal_of_the_image_keeps_its_code():
    refusal = {"error": "the image is empty", "code": "empty_body", "request_id": "x"}
    async with behind(lambda _: httpx.Response(400, json=refusal)) as server:
        with pytest.raises(RemoteError, match="the image is empty") as caught:
            await server.classify(b"", top_k=1)
    assert caught.value.code == "empty_body"


async def test_an_overloaded_server_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    answers = iter(
        [httpx.Response(503, headers={"retry-after": "2"}), httpx.Response(503, headers={"retry-after": "900"})]
    )
    async with behind(lambda _: next(answers, httpx.Response(200, json=ANSWER))) as server:
        assert (await server.classify(b"pixels", top_k=1)).model == "m"
    assert waits == [2, 5]


async def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "_PATIENCE", 2)
    async with behind(lambda _: httpx.Response(503, headers={"retry-after": "0"})) as server:
        with pytest.raises(InferenceFailed, match="still overloaded after 2 tries"):
            await server.classify(b"pixels", top_k=1)


def refuse_connection(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (refuse_connection, "no server answers there: connection refused"),
        (lambda _: httpx.Response(200, text="<html>"), "no server answers there"),
        (lambda _: httpx.Response(200, json={"models": []}), "is it a vit-serve server"),
        (lambda _: httpx.Response(404, json={"detail": "no"}), "answers 404 to /v1/model"),
        (lambda _: httpx.Response(200, json=[1]), "is it a vit-serve server"),
    ],
)
async def test_what_is_no_server_of_ours_is_said_so(handler: Handler, message: str):
    async with behind(handler) as server:
        with pytest.raises(SetupError, match=message):
            await server.model()


@pytest.mark.parametrize(
    ("header", "seconds"), [("Wed, 21 Oct 2026 07:28:00 GMT", 1), ("nan", 1), ("-3", 0), ("0.5", 0.5), ("1e9", 5)]
)
async def test_any_retry_after_is_waited_for_within_bounds(
    monkeypatch: pytest.MonkeyPatch, header: str, seconds: float
):
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    answers = iter([httpx.Response(503, headers={"retry-after": header})])
    async with behind(lambda _: next(answers, httpx.Response(200, json=ANSWER))) as server:
        await server.classify(b"pixels", top_k=1)
    assert waits == [seconds]


def test_what_is_no_address_is_said_so():
    with pytest.raises(SetupError, match="http://host:port: is no address of a server"):
        RemoteClassifier("http://host:port", 1)


@pytest.mark.parametrize(
    "handler",
    [
        refuse_connection,
        lambda _: httpx.Response(200, json={"model": "m"}),
        lambda _: httpx.Response(200, json=ANSWER | {"predictions": []}),
    ],
)
async def test_a_server_that_goes_away_fails_the_image(handler: Handler):
    async with behind(handler) as server:
        with pytest.raises(InferenceFailed):
            await server.classify(b"pixels", top_k=1)
