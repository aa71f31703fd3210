import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.api.conftest import picture
from tests.benchmark.server import Server, ServerFailed, _free_port, running, service


def test_sigterm_drains_and_ends_with_0(tmp_path: Path) -> None:
    command = [*service("random:vit_nano_patch4_32"), "--drain-delay-s", "1"]
    statuses: list[int] = []
    with running(command, tmp_path / "log") as server:
        os.kill(server.pid, signal.SIGTERM)
        until = time.monotonic() + 0.7
        while time.monotonic() < until:  # the port stays open and answers, but probes see the end coming
            assert server.get("/readyz")[0] == 503
            assert server.get("/livez")[0] == 200
            statuses.append(int(bool(server.post_image("/v1/classify", picture())["predictions"])))
        assert server._process.wait(10) == 0
    assert len(statuses) >= 3 and all(statuses)


@pytest.mark.operations
def test_work_in_flight_is_finished(tmp_path: Path) -> None:
    answers: list[object] = []
    with running([*service("random:vit_base_patch16_224"), "--max-batch-size", "2"], tmp_path / "log") as server:
        threads = [
            threading.Thread(target=lambda: answers.append(server.post_image("/v1/classify", picture())))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 10
        while server.counters()["vit_slots_in_use"] < 4 and time.monotonic() < until:
            pass
        os.kill(server.pid, signal.SIGTERM)
        for thread in threads:
            thread.join(30)
        assert server._process.wait(20) == 0
    assert len(answers) == 4


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_client_that_never_finishes_does_not_hold_it(tmp_path: Path, sig: signal.Signals) -> None:
    with (
        running([*service("noop"), "--drain-timeout-s", "1"], tmp_path / "log") as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nabc")
        time.sleep(0.2)
        os.kill(server.pid, sig)
        assert server._process.wait(10) == 0
        answer = client.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 503 ") and b'"draining"' in answer


@pytest.mark.parametrize("model", ["/nowhere/at/all", "random:vit_gigantic", "{corrupt}"])
def test_a_model_that_cannot_be_loaded_ends_it_with_one_line(tmp_path: Path, model: str) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "vit_pico_patch4_32"}')
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04garbage")
    command = [
        sys.executable,
        "-m",
        "app",
        "serve",
        "--port",
        "0",
        "--model",
        model.replace("{corrupt}", str(tmp_path)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "Uvicorn running" not in done.stderr
    assert "error" in done.stderr and (
        model in done.stderr or "safetensors" in done.stderr or "gigantic" in done.stderr
    )


RAW = [
    b"\x00\x01\x02garbage\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/classify HTTP/1.1\r\nHost: t\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/classify HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST /v1/classify HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    b"POST /v1/classify HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"POST /v1/classify HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: t\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 500) for i in range(2000)) + b"\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
]


@pytest.mark.parametrize("attack", RAW, ids=range(len(RAW)))
def test_garbage_costs_the_others_nothing(embedded: Server, attack: bytes) -> None:
    with socket.create_connection(("127.0.0.1", embedded.port), timeout=5) as client:
        try:
            client.sendall(attack)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(100)
        except OSError:  # it was sent away before it had said all
            answer = b""
        assert b" 500 " not in answer
    assert embedded.post_image("/v1/classify", picture())["predictions"]


def test_a_client_that_sends_too_much_can_read_why(embedded: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", embedded.port, timeout=20)
    connection.request("POST", "/v1/classify", body=b"x" * 20_000_000)
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"body_too_large" in answer.read()
    connection.close()


def test_the_admin_port_has_probes_and_metrics_and_nothing_else(tmp_path: Path) -> None:
    admin_port = _free_port()
    with running([*service("noop"), "--admin-port", str(admin_port)], tmp_path / "log") as server:
        admin = Server(server._process, admin_port, tmp_path / "log")
        assert [admin.get(path)[0] for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 200]
        assert [admin.get(path)[0] for path in ("/", "/v1/model", "/docs", "/openapi.json")] == [404] * 4
        assert admin.counters()["vit_ready"] == 1
        with (
            pytest.raises(ServerFailed, match="admin port"),
            running([*service("noop"), "--admin-port", str(admin_port)], tmp_path / "second"),
        ):
            raise AssertionError("it started")


def test_two_at_one_port(embedded: Server, tmp_path: Path) -> None:
    command = [part.replace("{port}", str(embedded.port)) for part in service("noop")]
    with pytest.raises(ServerFailed, match="ended with code"), running(command, tmp_path / "log"):
        raise AssertionError("it started")
