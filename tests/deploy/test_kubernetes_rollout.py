"""Owns the proof that restarts and scaling down lose no request: real processes, HAProxy in the place of a Service.

Its checks are the manifests' readiness probe, the processes have the manifests' drain; no cluster is started.
ROLLOUT_SPEED divides all times, by 4 where nothing is said; `make k8s-check` takes them as they are.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.api.conftest import picture
from tests.benchmark.server import _free_port
from tests.deploy.manifests import built, container, environment, pod
from tests.deploy.tools import ROOT, tool

SPEED = float(os.environ.get("ROLLOUT_SPEED", "4"))
EXAMPLE = "autoscaled-hpa"
STARTED_WITHIN_S = 60
pytestmark = [pytest.mark.operations, pytest.mark.timeout(240)]

CONFIGURATION = """
global
    stats socket {socket} mode 600 level admin
defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check {timeout_ms}ms
    retries 0
    option httpchk GET {path}
    default-server check inter {period_ms}ms fastinter {period_ms}ms downinter {period_ms}ms fall {fall} rise 1
{parts}
"""
# As an Ingress controller does it, with connections kept; and as a Service does, by connection.
PART = """
listen {mode}
    mode {mode}
    bind 127.0.0.1:{port}
    server a 127.0.0.1:{a.port} port {a.admin_port}
    server b 127.0.0.1:{b.port} port {b.admin_port}
"""


class Replica:
    """One process with the manifests' environment, which can be started again at the same ports."""

    def __init__(self, name: str, log: Path, **variables: str) -> None:
        settings = environment(container(built(EXAMPLE)))
        times = {key: str(float(settings[key]) / SPEED) for key in ("VIT_DRAIN_DELAY_S", "VIT_DRAIN_TIMEOUT_S")}
        self.name, self.port, self.admin_port, self._log = name, _free_port(), _free_port(), log
        ports = {"VIT_PORT": str(self.port), "VIT_ADMIN_PORT": str(self.admin_port)}
        cache = {"VIT_CACHE_DIR": str(log.parent / "cache")}
        self._environment = {**os.environ, **settings, **times, **ports, **cache, **variables}
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "app", "serve", "--model", "noop"]
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)

    def ready(self) -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)) as connection:
            return asked(connection, "GET", "/readyz") == 200

    def ends(self) -> bool:
        return self._process.poll() is not None

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """The exit code. Raises TimeoutExpired where Kubernetes would have killed it."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Balancer:
    """A running HAProxy in front of two replicas: one port by mode."""

    def __init__(self, folder: Path, a: Replica, b: Replica) -> None:
        probe = container(built(EXAMPLE))["readinessProbe"]
        self._socket = folder / "socket"
        self.ports = {"http": _free_port(), "tcp": _free_port()}
        (folder / "haproxy.cfg").write_text(
            CONFIGURATION.format(
                socket=self._socket,
                path=probe["httpGet"]["path"],
                period_ms=round(1000 * probe["periodSeconds"] / SPEED),
                timeout_ms=round(1000 * probe["timeoutSeconds"] / SPEED),
                fall=probe["failureThreshold"],
                parts="".join(PART.format(mode=mode, port=port, a=a, b=b) for mode, port in self.ports.items()),
            )
        )
        command = [tool("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]
        with (folder / "haproxy.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def status(self, server: str) -> set[str]:
        """Of a server in both modes, such as {"UP"}."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._socket))
            client.sendall(b"show stat\n")
            text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        rows = [line.split(",") for line in text.splitlines() if line]
        return {row[17].split()[0] for row in rows if row[1] == server}

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def asked(connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> int:
    """The status of the answer, 0 where there is none."""
    try:
        connection.request(method, path, body, {"Content-Type": "image/jpeg"} if body else {})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0


class Load:
    """Clients that ask one image after the other, until the block ends: `answers` by status, 0 where there was none."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.answers: dict[str, list[int]] = {mode: [] for mode in ports}
        self._over = threading.Event()
        each = [(mode, port) for mode, port in ports.items() for _ in range(3)]
        self._threads = [threading.Thread(target=self._ask, args=one) for one in each]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, mode: str, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not self._over.wait(0.02):
            self.answers[mode].append(asked(connection, "POST", "/v1/classify", picture()))
            if mode == "tcp":  # a Service balances connections; the next request opens one anew
                connection.close()
        connection.close()

    @property
    def lost(self) -> int:
        return sum(status != 200 for statuses in self.answers.values() for status in statuses)


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@contextmanager
def service(folder: Path, **variables: str) -> Iterator[tuple[Replica, Replica, Balancer]]:
    """Two replicas that are ready, and the balancer that knows it."""
    with ExitStack() as stack:
        a, b = (Replica(name, folder / name, **variables) for name in ("a", "b"))
        stack.callback(a.kill)
        stack.callback(b.kill)
        until(lambda: a.ready() and b.ready(), STARTED_WITHIN_S, "the replicas did not start")
        balancer = Balancer(folder, a, b)
        stack.callback(balancer.kill)
        until(lambda: (folder / "socket").exists(), 10, (folder / "haproxy.log").read_text())
        yield a, b, balancer


def end(replica: Replica, balancer: Balancer) -> None:
    """As Kubernetes ends a pod: SIGTERM, and no longer than its grace."""
    grace_s = pod(built(EXAMPLE))["terminationGracePeriodSeconds"] / SPEED
    replica.terminate()
    until(lambda: balancer.status(replica.name) == {"DOWN"} or replica.ends(), grace_s, "it was never seen to go")
    assert not replica.ends(), "it was gone before the balancer knew"
    assert replica.wait(grace_s) == 0


def test_a_rolling_restart_and_scaling_down_lose_no_request(tmp_path: Path) -> None:
    with service(tmp_path) as (a, b, balancer), Load(balancer.ports) as load:
        for replica in (a, b):  # no more than one at a time, as maxUnavailable says
            end(replica, balancer)
            replica.start()
            until(lambda: balancer.status(replica.name) == {"UP"}, STARTED_WITHIN_S, "it did not come back")  # noqa: B023
        time.sleep(2 / SPEED)
        end(b, balancer)
        time.sleep(2 / SPEED)
    assert all(len(statuses) > 100 for statuses in load.answers.values())
    assert load.lost == 0, {mode: sorted(set(statuses)) for mode, statuses in load.answers.items()}


def test_without_the_delay_of_the_drain_requests_are_lost(tmp_path: Path) -> None:
    """Or the test above would prove nothing."""
    with service(tmp_path, VIT_DRAIN_DELAY_S="0") as (a, _, balancer), Load(balancer.ports) as load:
        time.sleep(1)
        a.terminate()
        a.wait(30)
        until(lambda: balancer.status("a") == {"DOWN"}, 10, "it was never seen to go")
    assert load.lost > 0
