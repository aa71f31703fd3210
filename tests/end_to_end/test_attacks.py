"""What a stranger can send to a real port: it costs the others nothing, and memory stays where it is."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import picture
from tests.benchmark.server import Server, running, service
from tests.deploy.tools import tool

URL = "/v1/classify"
POST = b"POST /v1/classify HTTP/1.1\r\nHost: t\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MEBIBYTE = 2**20
MAY_GROW_BYTES = 32 * MEBIBYTE  # for allocators that do not give back at once; every flood is larger


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes bodies up to a megabyte."""
    command = [*service("noop"), "--max-body-bytes", "1000000"]
    with running(command, tmp_path_factory.mktemp("target") / "log") as server:
        for _ in range(20):
            server.post_image(URL, picture())
        yield server


def resident_bytes(server: Server) -> int:
    return int(server.counters()["process_resident_memory_bytes"])


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


@pytest.mark.operations
@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET / HTTP/1.1\r\nA: ", b"a" * 65536),
        (b"GET / HTTP/1.1\r\n", b"Name: value\r\n" * 5000),
        (b"GET /", b"a" * 65536),
        (b"", b"\r\n" * 32768),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"Name: value\r\n" * 5000),
        (CHUNKED + b"1\r\na\r\n0\r\nA: ", b"a" * 65536),
        (CHUNKED + b"1;", b"a" * 65536),
        (CHUNKED, b"10000\r\n" + b"a" * 65536 + b"\r\n"),
        (CHUNKED, b"1\r\na\r\n" * 10000),
        (POST + b"Content-Length: 9223372036854775807\r\n\r\n", b"a" * 65536),
        (b"", b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n" * 2000),
        (b"", (POST + b"Content-Length: 2\r\n\r\nno") * 1000),
    ],
    ids=["header", "headers", "path", "line ends", "trailers", "trailer", "chunk extension", "chunks", "tiny chunks"]
    + ["body", "requests", "requests with bodies"],
)
def test_floods_fill_nothing(target: Server, start: bytes, piece: bytes) -> None:
    before = resident_bytes(target)
    with connect(target) as client:
        client.settimeout(1)
        with suppress(ConnectionError, TimeoutError):  # it has heard enough
            client.sendall(start)
            for _ in range(64 * MEBIBYTE // len(piece)):
                client.sendall(piece)
        assert resident_bytes(target) - before < MAY_GROW_BYTES
    assert target.post_image(URL, picture())["predictions"]


def test_hundreds_of_half_sent_requests_keep_nobody_out(target: Server) -> None:
    before = resident_bytes(target)
    pieces = [b"", b"GE", b"GET / HTTP/1.1\r\nHost:", POST + b"Content-Length: 1000\r\n\r\nabc", CHUNKED + b"5\r\nab"]
    clients = [connect(target) for _ in range(300)]
    try:
        for i, client in enumerate(clients):
            client.sendall(pieces[i % len(pieces)])
        started_at = time.monotonic()
        assert target.post_image(URL, picture())["predictions"]
        assert time.monotonic() - started_at < 5
        assert resident_bytes(target) - before < MAY_GROW_BYTES
    finally:
        for client in clients:
            client.close()
    assert counted_down(target, "vit_slots_in_use") == 0


def test_junk_behind_a_request_is_not_taken_for_another(target: Server) -> None:
    png = picture()
    with connect(target) as client:
        client.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(png) + png + b"\0\0GET /livez HTTP/1.1\r\n\r\n")
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    assert received.count(b"HTTP/1.1 400 ") == 1
    assert b'"malformed_http"' in received


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_a_hundred_megabytes_can_read_why_not(target: Server, chunked: bool) -> None:
    before = resident_bytes(target)
    headers = {} if chunked else {"Content-Length": str(100 * MEBIBYTE)}
    pieces = (b"x" * MEBIBYTE for _ in range(100))
    with httpx.Client(base_url=f"http://127.0.0.1:{target.port}", timeout=30) as client:
        answer = client.post(URL, content=pieces, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert client.get("/livez").status_code == 200
    assert resident_bytes(target) - before < MAY_GROW_BYTES


def test_a_client_that_asks_first_does_not_send_in_vain(target: Server, tmp_path: Path) -> None:
    """curl sends `Expect: 100-continue` before large bodies, and then waits."""
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(b"x" * 2 * MEBIBYTE)
    small.write_bytes(picture())
    for file, code, most in ((large, 413, 200_000), (small, 200, 10_000)):
        written = '{"code": %{http_code}, "sent": %{size_upload}, "seconds": %{time_total}}'
        command = [tool("curl"), "-s", "-o", "/dev/null", "-w", written, "-H", "Expect: 100-continue"]
        command += ["--expect100-timeout", "20", "--data-binary", f"@{file}", f"127.0.0.1:{target.port}{URL}"]
        report = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)
        assert report["code"] == code
        assert report["sent"] <= most
        assert report["seconds"] < 10


def counted_down(server: Server, gauge: str) -> float:
    """A gauge's value once it is 0, or after five seconds."""
    until = time.monotonic() + 5
    while (value := server.counters()[gauge]) and time.monotonic() < until:
        time.sleep(0.05)
    return value
