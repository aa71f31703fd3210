"""What a real process writes to its log and sends to a collector, and that a collector which is gone costs nothing."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.conftest import picture
from tests.benchmark.server import Server, ServerFailed, _free_port, running, service
from tests.telemetry.collector import collecting

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def posted(server: Server, body: bytes, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", "/v1/classify", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def test_lines_are_json_and_traces_arrive(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with collecting() as collector:
        environment = {
            **{"VIT_LOG_FORMAT": "json", "VIT_ACCESS_LOG": "1", "VIT_TRACING": "otlp"},
            **{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "birds"},
        }
        with running(service("random:vit_pico_patch4_32"), log, environment=environment) as server:
            assert posted(server, picture(), traceparent=PARENT).status == 200
            assert posted(server, b"nothing").status == 415
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
                client.sendall(b"no HTTP at all\r\n\r\n")
                assert b" 400 " in client.recv(1000)
        assert server._process.returncode == 0
        first, second = sorted(collector.named("POST /v1/classify"), key=lambda span: span.start_time_unix_nano)
        assert collector.resource["service.name"] == "birds"
    assert first.parent_span_id.hex() == "b7ad6b7169203331"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert any("Uvicorn running" in line["message"] for line in lines)
    by_status = {line["status"]: line for line in lines if line.get("route") != "/readyz" and "status" in line}
    assert set(by_status) == {200, 415, 400}
    assert by_status[200]["trace_id"] == first.trace_id.hex() == PARENT[3:35]
    assert by_status[415]["trace_id"] == second.trace_id.hex()
    assert by_status[400]["route"] == "unparsed" and by_status[400]["client"] == "127.0.0.1"


def test_usr1_tells_where_it_is_and_ends_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(service("noop"), log) as server:
        os.kill(server.pid, signal.SIGUSR1)
        assert server.post_image("/v1/classify", picture())["predictions"]
        until = time.monotonic() + 5
        while "most recent call first" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.02)
    assert "engine.py" in log.read_text() and "server.py" in log.read_text()


@contextmanager
def nobody() -> Iterator[int]:
    """A port on which nobody listens."""
    yield _free_port()


@contextmanager
def silence() -> Iterator[int]:
    """A port on which somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("collector", [nobody, silence])
def test_a_collector_that_is_gone_costs_requests_nothing(tmp_path: Path, collector: type) -> None:
    with collector() as port:
        environment = {
            **{"VIT_TRACING": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"},
            **{"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BSP_MAX_QUEUE_SIZE": "60", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "6"},
        }
        with running(service("noop"), tmp_path / "log", environment=environment) as server:
            took_s = []
            for _ in range(60):  # six spans each: the queue is full after ten
                started_at = time.monotonic()
                assert posted(server, picture()).status == 200
                took_s.append(time.monotonic() - started_at)
            assert sorted(took_s)[30] < 0.5 and max(took_s) < 5  # a connection to nowhere would take 10 s
            ended_at = time.monotonic()
            server.stop()
            assert server._process.returncode == 0
            assert time.monotonic() - ended_at < 8  # 2 s for the last spans, and the rest of a busy machine
        assert (tmp_path / "log").read_text().count("\n") < 60


def test_without_a_queue_that_makes_sense_it_does_not_start(tmp_path: Path) -> None:
    environment = {"VIT_TRACING": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}
    with (
        pytest.raises(ServerFailed, match=r"error: traces cannot be sent as the OTEL_\* variables say"),
        running(service("noop"), tmp_path / "log", environment=environment),
    ):
        raise AssertionError("it started")
    assert "Traceback" not in (tmp_path / "log").read_text()
