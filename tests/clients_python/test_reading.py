"""Owns the tests of answers and errors as types, and of what is sent, through both clients."""

import json
import pickle
import re
from typing import Any

import httpx
import pytest
import vit_client
from vit_client import (
    ApiError,
    BadImage,
    BadRequest,
    Client,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    Prediction,
    Retry,
    ServerFailed,
    Timing,
    UnexpectedAnswer,
    errors,
)

from app.api.errors import STATUS
from app.errors import VitServeError
from tests.clients_python.conftest import ANSWER, Door, in_turn, refusal

ONCE = Retry(tries=1)
BAD_IMAGES = {"empty_body", "not_an_image", "corrupt_image", "too_many_pixels", "body_too_large"}


def test_an_answer_is_typed(door: Door) -> None:
    told = door.classify(in_turn())
    assert told.best == Prediction("cat", 3, 0.9, "n02123045")
    assert told.timing == Timing(1.0, 0.1, 2.0, 3.2)
    assert (told.model, told.batch_size, told.confidence, told.notice) == ("m", 2, "low", None)
    assert (told.activation, told.request_id) == ("softmax", "x")


def test_what_is_asked_for_is_sent_as_it_is(door: Door) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path, request.url.query) == ("POST", "/v1/classify", b"top_k=3")
        assert (request.content, request.headers["content-type"]) == (b"pixels", "application/octet-stream")
        assert (request.headers["x-request-id"], request.headers["traceparent"]) == ("order-17", "00-a-b-01")
        assert request.headers["user-agent"].startswith("vit-serve-client/0.")
        assert request.headers["authorization"] == "Basic bWU6c2VjcmV0"
        assert request.headers["x-mine"] == "1"
        return httpx.Response(200, json=ANSWER)

    call = {"top_k": 3, "request_id": "order-17", "traceparent": "00-a-b-01"}
    door.classify(answer, call, auth=("me", "secret"), headers={"X-Mine": "1"})


def test_what_is_not_asked_for_is_left_to_the_server(door: Door) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.url.query, "traceparent" in request.headers) == (b"", False)
        return httpx.Response(200, json=ANSWER)

    door.classify(answer)


@pytest.mark.parametrize(("error", "status"), STATUS.items(), ids=lambda value: getattr(value, "code", ""))
def test_every_error_of_the_server_has_its_class(door: Door, error: type[VitServeError], status: int) -> None:
    with pytest.raises(ApiError, match=f"it is {error.code}") as caught:
        door.classify(in_turn(refusal(status, error.code)), retry=ONCE)
    assert (caught.value.code, caught.value.status) == (error.code, status)
    if error.code in BAD_IMAGES:
        expected: type[ApiError] = BadImage
    elif status in (408, 504):
        expected = DeadlineExceeded
    elif status == 503:
        expected = Overloaded if error.code == "overloaded" else NotReady
    else:
        expected = ServerFailed if status >= 500 else BadRequest
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        "{}",
        "\xff",
        json.dumps({**ANSWER, "predictions": []}),
        json.dumps({**ANSWER, "predictions": [{"label": "cat"}]}),
        json.dumps({**ANSWER, "predictions": 3}),
        json.dumps({**ANSWER, "timing_ms": {"decode": 1}}),
        json.dumps({**ANSWER, "batch_size": "many"}),
    ],
)
def test_an_answer_of_somebody_else_is_said_so(door: Door, body: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="the server's answer 200 is none of vit-serve's") as caught:
        door.classify(in_turn(httpx.Response(200, content=body.encode("latin-1"))), {"request_id": "mine"})
    assert (caught.value.code, caught.value.status, caught.value.request_id) == ("unexpected_answer", 200, "mine")


@pytest.mark.parametrize("body", [{"detail": "no"}, {"error": 3}, {"error": "no", "code": ["a"]}, [1], "no"])
def test_an_error_of_somebody_else_too(door: Door, body: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        door.classify(in_turn(httpx.Response(403, json=body)))


def test_errors_survive_a_pickle() -> None:
    error = Overloaded("busy", code="overloaded", status=503, request_id="a", retry_after=2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (Overloaded, "busy", vars(error))


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = dict[str, str]()
    above = list[str]()
    for branch, name in re.findall(r"^([│├└─ ]*)([A-Z]\w+)  ", errors.__doc__ or "", re.MULTILINE):
        del above[len(branch) // 4 :]
        drawn[name] = above[-1] if above else "Exception"
        above.append(name)
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert drawn == {name: value.__bases__[0].__name__ for name, value in classes.items()}
    assert classes.keys() <= set(vit_client.__all__)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://server", "http://", "http://host:port", "", "//server"])
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a server"):
        Client(url)


@pytest.mark.parametrize("url", ["http://server/ai", "http://server/ai/"])
def test_a_server_behind_a_path_is_asked_there(url: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/ai/v1/classify"
        return httpx.Response(200, json=ANSWER)

    with Client(url, transport=httpx.MockTransport(answer)) as client:
        client.classify(b"pixels")


def test_a_model_keeps_what_this_version_does_not_know() -> None:
    document = {"name": "m", "labels": ["cat"], "new": 1}
    with Client("http://server", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=document))) as client:
        told = client.model()
    assert (told.name, told.labels, told.activation, told.document["new"]) == ("m", ("cat",), "softmax", 1)


@pytest.mark.parametrize("answer", [[1], {"labels": 3}, {"labels": "cat", "name": "m"}])
def test_a_model_of_somebody_else_is_said_so(answer: Any) -> None:
    with (
        Client("http://server", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))) as client,
        pytest.raises(UnexpectedAnswer),
    ):
        client.model()
