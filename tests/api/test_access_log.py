"""Owns the tests of what the log says of requests, and of what it never says."""

import asyncio
import json
import logging
from typing import Any

import pytest

from app.api.connection.limits import ConnectionLimits
from app.api.connection.protocol import Connection
from app.api.connection.registry import Connections
from app.telemetry.access import AccessLog
from app.telemetry.metrics import Metrics
from tests.api.conftest import ask, body_of, leaves_while_sending, picture, service

URL = "/v1/classify"
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.name == "app.telemetry.access"]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def everything_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def test_an_answer_has_a_line_if_all_are_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    async with service(access_log=1) as s:
        sent = picture()
        headers = {"X-Request-ID": "find-me", "traceparent": PARENT.decode(), "X-Forwarded-For": "192.0.2.7"}
        answer = await s.client.post(f"{URL}?top_k=3", content=sent, headers=headers)
    (line,) = lines(caplog)
    assert line.pop("ms") > 0
    assert line == {
        "request_id": "find-me",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "client": "127.0.0.1",
        "forwarded_for": "192.0.2.7",
        "method": "POST",
        "route": URL,
        "status": 200,
        "bytes_in": len(sent),
        "bytes_out": len(answer.content),
    }


async def test_by_itself_only_what_failed_has_one(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as s:
        await s.client.post(URL, content=picture())
        await s.client.get("/v1/model")
        await s.client.post(URL, content=b"nothing")
        await s.client.get("/nowhere?secret=hush")
        await s.client.get("/livez?secret=hush")
    assert [(line["status"], line["route"], line["code"]) for line in lines(caplog)] == [
        (415, URL, "not_an_image"),
        (404, "unmatched", "not_found"),
    ]
    assert lines(caplog)[1]["cause"] == "there is nothing at /nowhere"
    assert not any("hush" in str(line) for line in lines(caplog))


async def test_probes_that_fail_have_none(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as s:
        s.classifier.drain()
        assert (await s.client.get("/readyz")).status_code == 503
    assert not lines(caplog)


async def test_a_flood_of_refusals_is_ten_lines(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as s:
        for _ in range(60):
            assert (await s.client.post(URL)).status_code == 400
        await asyncio.sleep(1.1)
    told = lines(caplog)
    full = [line for line in told if "status" in line]
    assert 10 <= len(full) <= 20  # a machine that is busy takes more than a second for sixty
    assert len(full) + sum(line["left_out"] for line in told if "left_out" in line) == 60


async def test_head_is_called_what_it_is_and_a_client_that_leaves_is_499(caplog: pytest.LogCaptureFixture) -> None:
    async with service(access_log=1) as s:
        await ask(s.app, "HEAD", "/livez")
        await ask(s.app, receive=leaves_while_sending())
    first, second = lines(caplog)
    assert (first["method"], first["status"]) == ("HEAD", 200)
    assert (second["status"], second["code"], second["bytes_in"]) == (499, "client_gone", 3)


@pytest.mark.parametrize("parent", [b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-00", b"x" * 9000, b"\n"])
async def test_what_is_no_trace_is_not_repeated(caplog: pytest.LogCaptureFixture, parent: bytes) -> None:
    async with service(access_log=1) as s:
        await ask(s.app, "GET", "/livez", headers=[(b"traceparent", parent)])
    assert "trace_id" not in lines(caplog)[0]


@pytest.mark.parametrize("length", [1, 117, 118, 119, 128])
async def test_a_long_id_does_not_cost_the_answer(length: int) -> None:
    """OpenMetrics allows exemplars of 128 characters: one with more was an exception after the answer."""
    async with service() as s:
        answer = await ask(s.app, headers=[(b"x-request-id", b"i" * length)], receive=body_of(picture()))
        assert answer.status == 200 and answer.headers[b"x-request-id"] == b"i" * length
        text = s.metrics.render("application/openmetrics-text")[0].decode()
        assert ("i" * length in text) == (length <= 118)


class Wire(asyncio.Transport):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.9", 4711), "sockname": ("127.0.0.1", 80)})
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def resume_reading(self) -> None: ...
    def pause_reading(self) -> None: ...
    def write_eof(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


async def test_who_is_refused_before_the_application_has_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    async def nothing(*_: object) -> None:
        raise AssertionError("the application was asked")

    connection = Connection(nothing, ConnectionLimits(5.0), Connections(3, Metrics(), AccessLog(0)))
    wire = Wire()
    connection.connection_made(wire)
    connection.data_received(b"no HTTP at all\r\n\r\n")
    connection.connection_lost(None)
    (line,) = lines(caplog)
    told = json.loads(wire.written.partition(b"\r\n\r\n")[2])
    assert (line["status"], line["route"], line["client"]) == (400, "unparsed", "192.0.2.9")
    assert (line["code"], line["cause"], line["request_id"]) == (told["code"], told["error"], told["request_id"])
