"""Owns the tests of cli/remote.py."""

import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.cli.main import main
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


def behind(handler: Handler, waits: list[float] | None = None) -> RemoteClassifier:
    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    return RemoteClassifier("http://server/", 4, httpx.MockTransport(handler), sleep)


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


async def test_an_overloaded_server_is_waited_for():
    waits = list[float]()
    answers = iter(
        [httpx.Response(503, headers={"retry-after": "2"}), httpx.Response(503, headers={"retry-after": "900"})]
    )
    async with behind(lambda _: next(answers, httpx.Response(200, json=ANSWER)), waits) as server:
        assert (await server.classify(b"pixels", top_k=1)).model == "m"
    assert waits == [pytest.approx(2.05, abs=0.05), 5]


async def test_but_not_for_ever():
    waits = list[float]()
    async with behind(lambda _: httpx.Response(503, headers={"retry-after": "0"}), waits) as server:
        with pytest.raises(InferenceFailed, match="still overloaded after 31 tries"):
            await server.classify(b"pixels", top_k=1)
    assert len(waits) == 30


def refuse_connection(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (refuse_connection, "no server answers there: connection refused"),
        (lambda _: httpx.Response(200, text="<html>"), "answers 200 to /v1/model; is it a vit-serve server"),
        (lambda _: httpx.Response(200, json={"models": []}), "is it a vit-serve server"),
        (lambda _: httpx.Response(404, json={"detail": "no"}), "answers 404 to /v1/model"),
        (lambda _: httpx.Response(200, json=[1]), "is it a vit-serve server"),
    ],
)
async def test_what_is_no_server_of_ours_is_said_so(handler: Handler, message: str):
    async with behind(handler) as server:
        with pytest.raises(SetupError, match=message):
            await server.model()


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


def test_without_the_client_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "vit_client", None)
    monkeypatch.delitem(sys.modules, "app.cli.remote")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/a.png").write_bytes(b"")
    assert main(["evaluate", "http://127.0.0.1:9", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.endswith("pip install ./clients/python\n") and told.count("\n") == 1
