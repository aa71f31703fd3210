"""Owns a server as a process of its own and the clients that keep it busy; does not judge what comes of it."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final, NamedTuple

import numpy as np
import uvloop

from app.errors import SetupError, printable
from app.load.run import Load as Closed
from app.load.run import run_load
from app.load.target import Target

Engine = tuple[str, str, int]  # engine, precision, lanes
PATH: Final = "/v1/classify"
_RAW: Final = [("Content-Type", "application/octet-stream")]
_ANSWERS: Final = (200, 422)  # also to what is refused on purpose
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
        target = Target(_HOST, self.port, path, tls=None)
        requests = [target.request("POST", _RAW, body) for body in self._bodies]
        before_s = self.cpu_s()
        run = uvloop.run(run_load(target, requests, Closed(seconds, 0.0, connections), asyncio.Event()))
        served_s = self.cpu_s() - before_s
        took_s = (run.rows.ended - run.rows.sent)[np.isin(run.rows.code, _ANSWERS)]
        if not len(took_s):
            raise SetupError("the server that was to be measured gave no answer; `vit-serve serve` tells why")
        rate = len(took_s) / (run.end - run.begin)
        return Load(rate, served_s / len(took_s), run.cpu_share, float(np.median(took_s)))

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
