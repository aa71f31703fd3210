"""Owns a server as a real process: start, readiness, counters, stop; does not load it or judge its answers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.benchmark.options import ROOT

_HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 120
_STOP_TIMEOUT_S: Final = 30
_POLL_S: Final = 0.01
_MAX_TOP_K: Final = 100_000


class ServerFailed(Exception):
    """The server did not start, did not answer as it should, or did not stop."""


class Server:
    """A running server on a loopback port. `ready_after_s` is from the spawn to the first 200 of `/readyz`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.pid, self.port, self.ready_after_s = process.pid, port, 0.0
        self._process, self._log = process, log

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body. Raises OSError while nobody listens."""
        return self._request("GET", path, b"")

    def get_json(self, path: str) -> Any:
        """The document at `path`. Raises ServerFailed unless the status is 200."""
        return self._ok(*self.get(path))

    def post_image(self, path: str, image: bytes) -> Any:
        """The answer to one JPEG. Raises ServerFailed unless the status is 200."""
        return self._ok(*self._request("POST", path, image))

    def counters(self, port: int | None = None) -> dict[str, float]:
        """The samples at `/metrics`, by name and labels as they are written there; `port`: its admin port."""
        status, body = self._request("GET", "/metrics", b"", port)
        if status != 200:
            raise ServerFailed(f"/metrics answered {status}")
        lines = (line for line in body.decode().splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def wait_until_ready(self, spawned_at: float, path: str = "/readyz") -> None:
        """Polls `path`. Raises ServerFailed with the end of the log if that takes too long or the process ends."""
        until = spawned_at + _START_TIMEOUT_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise ServerFailed(f"the server ended with code {self._process.returncode}:\n{self._log_tail()}")
            try:
                status, _ = self.get(path)
            except OSError:
                status = 0
            if status == 200:
                self.ready_after_s = time.monotonic() - spawned_at
                return
            time.sleep(_POLL_S)
        raise ServerFailed(f"the server was not ready after {_START_TIMEOUT_S} s:\n{self._log_tail()}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to the process group if that does not end it. Raises ServerFailed in the second case."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            raise ServerFailed(f"the server ignored SIGTERM for {_STOP_TIMEOUT_S} s:\n{self._log_tail()}") from error

    def _request(self, method: str, path: str, body: bytes, port: int | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(_HOST, port or self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": "image/jpeg"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _ok(self, status: int, body: bytes) -> Any:
        if status != 200:
            raise ServerFailed(f"the server answered {status}: {body[:500]!r}\n{self._log_tail()}")
        return json.loads(body)

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


@contextmanager
def running(
    command: Sequence[str], log: Path, ready: str = "/readyz", environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Starts `command`, with {port} filled in, waits until it is ready, and stops it at the end.

    `environment`: variables besides our own, VIT_CACHE_DIR of the tests among those.
    Raises ServerFailed if it does not start or stop.
    """
    port = _free_port()
    with log.open("wb") as output:
        spawned_at = time.monotonic()
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        server.wait_until_ready(spawned_at, ready)
        yield server
    finally:
        server.stop()


def service(model: str) -> list[str]:
    """The command that serves `model`, and tells the scores of all classes who asks for them."""
    where = ["--model", model, "--host", _HOST, "--port", "{port}"]
    return [sys.executable, "-m", "app", "serve", *where, "--max-top-k", str(_MAX_TOP_K)]


def bare_http() -> list[str]:
    """The command that serves an application which only reads the body."""
    return [sys.executable, "-m", "tests.benchmark.bare_http", "{port}"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
