"""Owns a real service under every kind of load, and a Prometheus that scraped it; does not judge what it says.

`python -m tests.deploy.loaded` prints the dashboard's queries with their values.
"""

import http.client
import io
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import skimage.data
from PIL import Image

from tests.benchmark.server import Server, running, service
from tests.deploy.monitored import ask, free_port, prometheus_of, wait_for_value
from tests.deploy.tools import DEPLOY

_CLIENTS: Final = 48  # more than two rounds of batches, which are let in whatever they wait
_LOAD_S: Final = 20


@dataclass(frozen=True)
class Loaded:
    """What is asked, once it has scraped enough; the load goes on."""

    prometheus: Server

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.prometheus.port}"

    def exemplars(self, metric: str) -> Any:
        """The single requests that a metric names."""
        now = time.time()
        return ask(self.prometheus, f"query_exemplars?query={quote(metric)}&start={now - 300}&end={now}")


def picture(side_px: int) -> bytes:
    """A CC0 photograph as a JPEG of that width."""
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.chelsea()).resize((side_px, side_px)).save(buffer, "JPEG")
    return buffer.getvalue()


def _send(port: int, body: bytes, path: str = "/v1/classify", timeout_ms: str = "") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"X-Request-Timeout-Ms": timeout_ms} if timeout_ms else {}
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


@contextmanager
def _load(port: int) -> Iterator[None]:
    """Clients that ask all the time: for answers, and one of them for what is refused; their mistakes are meant."""
    images, over = [picture(side) for side in (64, 224, 1000)], threading.Event()
    good = [(image, "/v1/classify", "") for image in images]
    bad = [
        (b"no picture", "/v1/classify", ""),
        (images[0], "/v1/classify?top_k=0", ""),
        (images[2], "/v1/classify", "1"),
    ]

    def client(number: int) -> None:
        requests = bad + good if number == 0 else good[number % 3 :]
        while not over.is_set():
            for body, path, timeout_ms in requests:
                _send(port, body, path, timeout_ms)
            over.wait(0.01)

    with ThreadPoolExecutor(_CLIENTS) as pool:
        running_clients = [pool.submit(client, number) for number in range(_CLIENTS)]
        try:
            yield
        finally:
            over.set()
        for each in running_clients:
            each.result()


@contextmanager
def loaded(folder: Path) -> Iterator[Loaded]:
    """The embedded model, asked for too much, and Prometheus, which has seen it for a while."""
    port = free_port()
    command = [*service("embedded"), "--admin-port", str(port), "--max-wait-ms", "100"]
    with running(command, folder / "service.log") as server, prometheus_of(port, folder) as prometheus:
        wait_for_value(prometheus, "vit_ready", "1")
        with _load(server.port):
            wait_for_value(prometheus, "job:vit_answered:rate5m > bool 0", "1")
            time.sleep(_LOAD_S)
            yield Loaded(prometheus)


def main() -> int:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder, loaded(Path(folder)) as found:
        return subprocess.run([sys.executable, DEPLOY / "grafana/ask.py", found.url], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
