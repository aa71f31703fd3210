import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.api.conftest import Answer, Service, ask, body_of, leaves_while_sending, picture, service

URL = "/v1/classify"


@pytest.fixture
async def small() -> AsyncIterator[Service]:
    """A service that takes bodies of 2048 bytes."""
    async with service(max_body_bytes=2048) as opened:
        yield opened


def code_of(answer: Answer) -> str:
    document: dict[str, str] = json.loads(answer.body)
    assert set(document) == {"error", "code", "request_id"}
    assert answer.headers[b"content-type"] == b"application/json"
    assert answer.headers[b"x-request-id"] == document["request_id"].encode()
    return document["code"]


async def unread() -> dict[str, Any]:
    """The body that nobody may ask for."""
    raise AssertionError("the body was read")


@pytest.mark.parametrize("length", [b"2049", b"9" * 19, b"9" * 5000])
async def test_a_long_body_is_refused_unread_by_its_announced_length(small: Service, length: bytes) -> None:
    answer = await ask(small.app, headers=[(b"content-length", length)], receive=unread)
    assert (answer.status, code_of(answer)) == (413, "body_too_large")
    assert small.counted("vit_requests_total", route=URL, code="413") == 1


@pytest.mark.parametrize("announced", [[], [(b"content-length", b"10")], [(b"content-length", b"-1")]])
async def test_a_long_body_is_refused_while_it_is_read(
    small: Service, announced: Sequence[tuple[bytes, bytes]]
) -> None:
    asked = 0
    receive = body_of(*[b"x" * 1000] * 99)

    async def counted() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return await receive()

    answer = await ask(small.app, headers=announced, receive=counted)
    assert (answer.status, code_of(answer)) == (413, "body_too_large")
    assert asked == 3


async def test_a_body_of_just_the_limit_is_read(small: Service) -> None:
    answer = await ask(small.app, headers=[(b"content-length", b"2048")], receive=body_of(b"x" * 2000, b"x" * 48))
    assert (answer.status, code_of(answer)) == (415, "not_an_image")


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        (b"top_k=0", (), 422),
        (b"top_k=11", (), 422),
        (b"top_k=3&top_k=0", (), 422),
        (b"", ((b"x-request-timeout-ms", b"soon"),), 422),
    ],
)
async def test_what_can_be_refused_by_the_head_is(
    small: Service, query: bytes, headers: Sequence[tuple[bytes, bytes]], status: int
) -> None:
    assert (await ask(small.app, query=query, headers=headers, receive=unread)).status == status


@pytest.mark.parametrize(
    ("method", "path", "status", "route", "allow"),
    [
        ("GET", "/nowhere", 404, "unmatched", None),
        ("POST", "/v1/classify/", 404, "unmatched", None),
        ("GET", URL, 405, URL, b"POST"),
        ("HEAD", URL, 405, URL, b"POST"),
        ("OPTIONS", URL, 405, URL, b"POST"),
        ("DELETE", "/v1/model", 405, "/v1/model", b"GET"),
        ("PATCH", "/metrics", 405, "/metrics", b"GET"),
    ],
)
async def test_the_router_refuses_in_our_form(
    small: Service, method: str, path: str, status: int, route: str, allow: bytes | None
) -> None:
    answer = await ask(small.app, method, path, receive=unread)
    assert answer.status == status
    assert code_of(answer) == {404: "not_found", 405: "method_not_allowed"}[status]
    assert answer.headers.get(b"allow") == allow
    assert small.counted("vit_requests_total", route=route, code=str(status)) == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1/model"])
async def test_head_is_answered_like_get(small: Service, path: str) -> None:
    got, headed = [await ask(small.app, method, path, receive=unread) for method in ("GET", "HEAD")]
    assert headed.status == got.status == 200
    assert headed.headers[b"content-type"] == got.headers[b"content-type"]
    assert small.counted("vit_requests_total", route=path, code="200") == 2


async def test_a_long_path_is_not_said_back_whole(small: Service) -> None:
    answer = await ask(small.app, "GET", "/" + "ä" * 100_000, receive=unread)
    assert code_of(answer) == "not_found"
    assert len(answer.body) < 1000


@pytest.mark.parametrize(
    "sent",
    [b"", b"a\r\nSet-Cookie: b", b"x" * 4096, b"\xff", b"a b", b"a\0", b'"', b"<b>"],
)
async def test_an_id_that_could_do_harm_is_replaced(small: Service, sent: bytes) -> None:
    answer = await ask(small.app, "GET", "/nowhere", headers=[(b"x-request-id", sent)])
    assert code_of(answer) == "not_found"
    assert len(answer.headers[b"x-request-id"]) == 32


async def test_what_the_drain_timeout_cuts_off_is_told_and_counted() -> None:
    async with service() as s:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        reading = asyncio.Event()

        async def never() -> dict[str, Any]:
            reading.set()
            await asyncio.Event().wait()
            raise AssertionError

        scope = {"type": "http", "method": "POST", "path": URL, "query_string": b"", "headers": []}
        task = asyncio.create_task(s.app(scope, never, send))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sent[0]["status"] == 503
        assert json.loads(sent[1]["body"])["code"] == "draining"
        assert (b"retry-after", b"1") in sent[0]["headers"]
        assert s.counted("vit_requests_total", route=URL, code="503") == 1


async def test_a_client_that_leaves_while_sending_is_counted() -> None:
    async with service() as s:
        await ask(s.app, receive=leaves_while_sending())
        assert s.counted("vit_requests_total", route=URL, code="499") == 1
        assert sum(s.counted("vit_jobs_total", outcome=o) for o in ("result", "error", "cancelled")) == 0


async def test_a_bug_leaves_its_cause_and_the_id_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as s:

        async def broken(data: bytes, **options: object) -> None:
            raise ZeroDivisionError("the cause")

        s.classifier.classify = broken  # type: ignore[method-assign, assignment]
        with caplog.at_level(logging.ERROR):
            answer = await ask(s.app, headers=[(b"x-request-id", b"find-me")], receive=body_of(picture()))
        assert (answer.status, code_of(answer)) == (500, "internal_error")
        assert b"the cause" not in answer.body
        assert "find-me" in caplog.text and "ZeroDivisionError: the cause" in caplog.text
        assert s.counted("vit_requests_total", route=URL, code="500") == 1


async def test_other_scopes_than_http_pass_untouched() -> None:
    async with service() as s:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await s.app({"type": "websocket", "path": URL, "headers": [], "query_string": b""}, receive, send)
        assert [message["type"] for message in sent] == ["websocket.close"]
