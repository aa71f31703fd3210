"""Owns a Prometheus that scrapes a real service, as real processes, and how it is asked; does not judge answers."""

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import yaml

from tests.benchmark.server import Server, running
from tests.deploy.tools import DEPLOY, tool

PROMETHEUS: Final = DEPLOY / "prometheus"
_PATIENCE_S: Final = 30


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def alert_groups() -> Any:
    """The groups of alerts.yml."""
    return yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]


def alerts() -> list[dict[str, Any]]:
    """The alerts of alerts.yml, without what is only recorded; one name may have several."""
    return [rule for group in alert_groups() for rule in group["rules"] if "alert" in rule]


def metrics_of(admin_port: int) -> bytes:
    """What a scrape gets."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=10) as answer:
        text: bytes = answer.read()
        return text


@contextmanager
def prometheus_of(admin_port: int, folder: Path, waiting: str | None = None) -> Iterator[Server]:
    """A Prometheus with the shipped configuration and rules; others are the target's address and the intervals, 1 s.

    `waiting`: what every alert's `for` is, where it has one, instead of its own.
    """
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(config["global"], "1s")
    assert config["rule_files"] == ["alerts.yml"]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{admin_port}"]
    groups = [{**group, "interval": "1s"} for group in alert_groups()]
    for rule in (rule for group in groups for rule in group["rules"] if "for" in rule and waiting):
        rule["for"] = waiting
    (folder / "alerts.yml").write_text(yaml.safe_dump({"groups": groups}))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        tool("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    with running(command, folder / "log", ready="/-/ready") as server:
        yield server


def ask(prometheus: Server, path: str) -> Any:
    """The data that Prometheus' API has at a path."""
    status, body = prometheus.get(f"/api/v1/{path}")
    assert status == 200, body
    return json.loads(body)["data"]


def value(prometheus: Server, query: str) -> str | None:
    """The value of a query that gives one series; None while it gives none."""
    result = ask(prometheus, f"query?query={quote(query)}")["result"]
    assert len(result) < 2, result
    return str(result[0]["value"][1]) if result else None


def wait_for_value(prometheus: Server, query: str, expected: str | None = None) -> str:
    """As `value`, as soon as there is one, or the one that is expected."""
    until = time.monotonic() + _PATIENCE_S
    while (found := value(prometheus, query)) is None or expected not in (None, found):
        assert time.monotonic() < until, f"{query} is {found} after {_PATIENCE_S} s, not {expected or 'anything'}"
        time.sleep(0.1)
    return found


def states(prometheus: Server) -> dict[str, set[tuple[str, str]]]:
    """Health and state of the alerts, by name."""
    found: dict[str, set[tuple[str, str]]] = {}
    for group in ask(prometheus, "rules?type=alert")["groups"]:
        for rule in group["rules"]:
            found.setdefault(rule["name"], set()).add((rule["health"], rule["state"]))
    return found


def wait_for_state(prometheus: Server, alert: str, state: str) -> None:
    """Until all rules of that name are healthy and in that state."""
    until = time.monotonic() + _PATIENCE_S
    while (found := states(prometheus)[alert]) != {("ok", state)}:
        assert time.monotonic() < until, f"{alert} is {found} after {_PATIENCE_S} s, not {state}"
        time.sleep(0.1)
