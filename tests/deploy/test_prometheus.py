"""Owns the proof that a real Prometheus takes our metrics, configuration and alerts; does not test what is counted."""

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.benchmark.server import Server, running, service
from tests.deploy.tools import DEPLOY, output, tool

PROMETHEUS = DEPLOY / "prometheus"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def admin_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def vit_serve(admin_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service without a forward pass; it has answered one request, so that every metric has a series."""
    command = [*service("noop"), "--admin-port", str(admin_port)]
    with running(command, tmp_path_factory.mktemp("vit-serve") / "log") as server:
        server.get("/v1/model")
        yield server


@pytest.fixture(scope="module")
def prometheus(vit_serve: Server, admin_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prometheus with the shipped configuration; only the target's address and the intervals are others."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(config["global"], "1s")
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{admin_port}"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        tool("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, folder / "log", ready="/-/ready") as server:
        yield server


def ask(prometheus: Server, path: str) -> Any:
    status, body = prometheus.get(f"/api/v1/{path}")
    assert status == 200, body
    return json.loads(body)["data"]


def states_of_rules(prometheus: Server) -> set[tuple[str, str]]:
    return {(rule["health"], rule["state"]) for rule in ask(prometheus, "rules")["groups"][0]["rules"]}


def wait_for_value(prometheus: Server, query: str) -> str:
    """The value of a query that gives one series, as soon as a scrape has brought one."""
    until = time.monotonic() + 20
    while not (result := ask(prometheus, f"query?query={quote(query)}")["result"]):
        assert time.monotonic() < until, f"{query} has no value after 20 s"
        time.sleep(0.1)
    (series,) = result
    value: str = series["value"][1]
    return value


def test_the_configuration_and_the_rules_are_valid() -> None:
    output(tool("promtool"), "check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yml")
    output(tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", PROMETHEUS / "alerts.yml")


def test_every_alert_fires_on_what_it_is_for_and_is_silent_where_it_could_be_fooled() -> None:
    output(tool("promtool"), "test", "rules", PROMETHEUS / "alerts_test.yml")
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for fires in (True, False):
        shown = {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires}
        assert shown == {rule["alert"] for rule in rules}


def test_promtool_has_nothing_to_say_about_the_metrics(vit_serve: Server) -> None:
    status, metrics = vit_serve.get("/metrics")
    assert status == 200
    assert output(tool("promtool"), "check", "metrics", stdin=metrics) == ""


def test_the_alerts_ask_for_metrics_and_labels_that_exist(vit_serve: Server) -> None:
    _, metrics = vit_serve.get("/metrics")
    series = [line for line in metrics.decode().splitlines() if not line.startswith("#")]
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    asked = [found for rule in rules for found in re.findall(r"\b((?:vit|process)_\w+)(?:{(.*?)})?", rule["expr"])]
    assert len({name for name, _ in asked}) >= 7
    for name, selector in asked:
        of_name = [line for line in series if re.match(rf"{name}[{{ ]", line)]
        assert of_name, name
        for label in re.findall(r'(\w+)(?:=~|!~|!=|=)"', selector):
            assert label == "job" or f'{label}="' in of_name[0], (name, label)


@pytest.mark.parametrize(
    ("label", "values"),
    [
        ("outcome", {"answered"}),
        ("set_by", {"server", "client"}),
        ("reason", {"idle_evicted", "refused"}),
        ("stage", {"queue"}),
    ],
)
def test_the_values_that_the_alerts_tell_apart_are_written_so(vit_serve: Server, label: str, values: set[str]) -> None:
    """Counters from the start on: of one that appears with its first event, an alert does not see that event."""
    _, metrics = vit_serve.get("/metrics")
    assert values <= set(re.findall(rf'[{{,]{label}="(\w+)"', metrics.decode()))
    alerts = (PROMETHEUS / "alerts.yml").read_text() + (PROMETHEUS / "alerts_test.yml").read_text()
    assert all(re.search(rf'{label}=~?"[^"]*\b{value}\b', alerts) for value in values)


def test_prometheus_scrapes_the_service_and_judges_the_alerts(prometheus: Server) -> None:
    assert wait_for_value(prometheus, "vit_ready") == "1"  # through the admin port
    assert wait_for_value(prometheus, 'up{job="vit-serve"}') == "1"
    assert wait_for_value(prometheus, 'vit_model_info{name="noop", engine="noop"}') == "1"
    until = time.monotonic() + 20  # that nothing is scraped is pending until the evaluation after the first scrape
    while (found := states_of_rules(prometheus)) != {("ok", "inactive")}:
        assert time.monotonic() < until, found
        time.sleep(0.1)
