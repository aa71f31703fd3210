"""Owns a server to be attacked: its options, limits, memory, descriptors; does not attack it."""

import http.client
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from app.settings import Settings
from tests.attack.contracts import MODEL
from tests.attack.wire import free_port
from tests.benchmark.processes import tree
from tests.benchmark.server import Server, ServerFailed, running, service

_SETTLED_S: Final = 8.0  # within which sockets and slots of attackers who have gone must have been given back
_PAUSE_S: Final = 0.05
_CLASSIFY: Final = "/v1/classify"


class Victim:
    """A running server, seen from outside."""

    def __init__(self, server: Server, admin_port: int | None, grpc_port: int) -> None:
        self._server, self.port, self.grpc_port = server, server.port, grpc_port
        self.ports = (server.port,) if admin_port is None else (server.port, admin_port)

    def label(self, image: bytes) -> tuple[str, float]:
        """What it sees there, and how surely. Raises ServerFailed."""
        best = self._server.post_image(_CLASSIFY, image)["predictions"][0]
        return best["label"], best["score"]

    def forget_peak(self) -> int:
        """The kernel counts the peak of resident memory from now on; gives what is held now."""
        for pid in tree(self._server.pid):
            with suppress(OSError):  # ended meanwhile; where the kernel refuses, the peak is that of all attacks so far
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self.peak_bytes()

    def peak_bytes(self) -> int:
        """Of all its processes together, each at its own peak: what they share counts more than once."""
        return sum(_peak_bytes(pid) for pid in tree(self._server.pid))

    def descriptors(self) -> int:
        """Open ones, of the process that listens."""
        try:
            return len(os.listdir(f"/proc/{self._server.pid}/fd"))
        except OSError:
            return 0

    def at_rest(self) -> int:
        """The most descriptors seen in a while of nothing but honest clients, who come and go."""
        samples = []
        for _ in range(6):
            samples.append(self.descriptors())
            time.sleep(_PAUSE_S)
        return max(samples)

    def settle(self, descriptors: int) -> tuple[float, int]:
        """The slots in use and the descriptors, once they are none and so many, or after some seconds."""
        until = time.monotonic() + _SETTLED_S
        while True:
            try:
                slots = self._server.counters(self.ports[-1])["vit_slots_in_use"]
            except (OSError, http.client.HTTPException, ServerFailed):
                slots = float("inf")
            now = self.descriptors()
            if (slots == 0 and now <= descriptors) or time.monotonic() > until:
                return slots, now
            time.sleep(_PAUSE_S)

    def answers(self, image: bytes) -> bool:
        """Whether it is alive, and classifies."""
        with suppress(OSError, http.client.HTTPException, ServerFailed, json.JSONDecodeError):
            return self._server.get("/livez")[0] == 200 and bool(self.label(image))
        return False


@contextmanager
def victim(log: Path, descriptors: int | None = None) -> Iterator[Victim]:
    """The embedded model under a limit of descriptors if given, with further ports for probes and gRPC."""
    grpc_port = free_port()
    command = [*service("embedded"), "--grpc-port", str(grpc_port), "--model-aliases", json.dumps([MODEL])]
    admin_port = free_port() if "admin_port" in Settings.model_fields else None
    if admin_port is not None:
        command += ["--admin-port", str(admin_port)]
    if descriptors is not None:
        command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
    with running(command, log) as server:
        yield Victim(server, admin_port, grpc_port)


def _peak_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
