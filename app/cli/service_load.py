"""Owns a server as a process of its own and the clients that keep it busy; does not judge what comes of it."""

import http.client
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final, NamedTuple

from app.errors import SetupError, printable

Engine = tuple[str, str, int]  # engine, precision, lanes
PATH: Final = "/v1/classify"
_HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 300.0
_POLL_S: Final = 0.02
_LINGER_S: Final = 30.0
_CPU: Final = "process_cpu_seconds_total"


class Load(NamedTuple):
    """Answers a second, CPU seconds of the server for each, cores that the clients took, the median answer."""

    answers_per_s: float
    cpu_s: float
    client_cores: float
    p50_s: float


class LoadedServer:
    """A server on a port of this machine, and clients that keep it busy."""

    def __init__(self, port: int, bodies: Sequence[bytes]) -> None:
        self.port, self._bodies = port, bodies

    def ready(self) -> bool:
        """Whether it answers 200 on /readyz."""
        try:
            return self._get("/readyz")[0] == 200
        except OSError:
            return False

    def engine(self) -> Engine:
        """What it computes with."""
        told = json.loads(self._get("/v1/model")[1])
        return told["engine"], told["precision"], told["lanes"]

    def load(self, connections: int, seconds: float, path: str) -> Load:
        """Connections that each send the next picture once the last is answered. Raises SetupError."""
        latencies: list[list[float]] = [[] for _ in range(connections)]
        until = time.monotonic() + seconds
        clients = [
            threading.Thread(target=self._client, args=(path, until, at, each)) for at, each in enumerate(latencies)
        ]
        before_s, started_at, cpu_at = self.cpu_s(), time.monotonic(), time.process_time()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        passed_s, used_s = time.monotonic() - started_at, time.process_time() - cpu_at
        served_s = self.cpu_s() - before_s
        every = [latency for each in latencies for latency in each]
        if not every:
            raise SetupError("the server that was to be measured gave no answer; `vit-serve serve` tells why")
        return Load(len(every) / passed_s, served_s / len(every), used_s / passed_s, statistics.median(every))

    def _client(self, path: str, until: float, at: int, latencies: list[float]) -> None:
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=30)
        try:
            while (sent_at := time.monotonic()) < until:
                body = self._bodies[at % len(self._bodies)]
                at += 1
                connection.request("POST", path, body, {"Content-Type": "application/octet-stream"})
                answer = connection.getresponse()
                answer.read()
                if answer.status in (200, 422):
                    latencies.append(time.monotonic() - sent_at)
        except (OSError, http.client.HTTPException):
            return  # what was answered until then counts
        finally:
            connection.close()

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def cpu_s(self) -> float:
        """CPU seconds of the process so far. Raises SetupError where /metrics does not tell."""
        for line in self._get("/metrics")[1].splitlines():
            if line.startswith(f"{_CPU} "):
                return float(line.split()[1])
        raise SetupError("/metrics does not tell the CPU time of the process: this can be measured on Linux only")


@contextmanager
def serving(model: str, flags: Sequence[str], bodies: Sequence[bytes]) -> Iterator[tuple[LoadedServer, float]]:
    """A server of `model` that is ready, and the seconds that its start took; it is stopped at the end.

    Raises SetupError with the last line that it wrote if it does not start.
    """
    port = _free_port()
    where = ["--host", _HOST, "--port", str(port), "--admin-port", "0", "--log-level", "warning"]
    with tempfile.TemporaryFile() as log:
        started_at = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", *flags, "--model", model, *where],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            server = LoadedServer(port, bodies)
            while not server.ready():
                if process.poll() is not None or time.monotonic() - started_at > _START_TIMEOUT_S:
                    raise SetupError(printable(f"the server that was to be measured did not start: {_last_line(log)}"))
                time.sleep(_POLL_S)
            yield server, time.monotonic() - started_at
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_LINGER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read()[-4000:].decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
