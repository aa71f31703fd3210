"""Owns the proof that a real Prometheus takes our metrics, configuration and alerts; does not test what is counted."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.benchmark.server import Server, running, service
from tests.deploy.monitored import (
    PROMETHEUS,
    alert_groups,
    alerts,
    ask,
    free_port,
    metrics_of,
    prometheus_of,
    states,
    wait_for_state,
    wait_for_value,
)
from tests.deploy.tools import DEPLOY, ROOT, output, tool

NAMES = sorted({rule["alert"] for rule in alerts()})
RUNBOOK = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))


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
def metrics(vit_serve: Server, admin_port: int) -> bytes:
    return metrics_of(admin_port)


def test_the_configuration_and_the_rules_are_valid() -> None:
    output(tool("promtool"), "check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yml")
    output(tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", PROMETHEUS / "alerts.yml")


@pytest.mark.operations
@pytest.mark.timeout(240)  # nights of series, every minute of which is judged
def test_every_alert_fires_on_what_it_is_for_and_is_silent_where_it_could_be_fooled() -> None:
    output(tool("promtool"), "test", "rules", PROMETHEUS / "alerts_test.yml", timeout_s=200)
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == set(NAMES)
    fired = {
        (case["alertname"], alert["exp_labels"]["severity"], alert["exp_labels"].get("window"))
        for case in cases
        for alert in case["exp_alerts"]
    }
    assert fired == {(rule["alert"], rule["labels"]["severity"], rule["labels"].get("window")) for rule in alerts()}


def test_each_window_of_an_objective_is_shown_firing_without_the_others_and_silent() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    for name in ("VitServeErrors", "VitServeSlow"):
        cases = [case for test in tests for case in test["alert_rule_test"] if case["alertname"] == name]
        shown = {frozenset(each["exp_labels"]["window"] for each in case["exp_alerts"]) for case in cases}
        assert shown >= {frozenset(), frozenset({"3d"}), frozenset({"6h", "3d"}), frozenset({"1h", "3d"})}, name


@pytest.mark.parametrize("name", NAMES)
def test_the_runbook_says_what_an_alert_means_what_to_look_at_and_what_to_do(name: str) -> None:
    for rule in alerts():
        if rule["alert"] == name:
            assert rule["annotations"]["runbook"] == f"deploy/runbook.md#{name.lower()}"
    parts = dict(re.findall(r"^\*\*(Means|Look|Do)\.\*\* (.*?)(?=^\*\*|\Z)", SECTIONS[name], re.MULTILINE | re.DOTALL))
    assert parts.keys() == {"Means", "Look", "Do"}
    assert re.findall(r"«(.+?)»", parts["Look"]) or name == "VitServeGone", "a panel"
    settings = (ROOT / "app/settings.py").read_text()
    for variable in re.findall(r"`VIT_(\w+)`", SECTIONS[name]):
        assert f"    {variable.lower()}: " in settings, variable


def test_the_runbook_is_about_alerts_that_there_are() -> None:
    assert list(SECTIONS) == list(dict.fromkeys(rule["alert"] for rule in alerts()))  # and in their order


def test_promtool_has_nothing_to_say_about_the_metrics(metrics: bytes) -> None:
    assert output(tool("promtool"), "check", "metrics", stdin=metrics) == ""


def test_the_rules_ask_for_metrics_labels_and_values_that_exist(metrics: bytes) -> None:
    """Counters from the start on: of one that appears with its first event, an alert does not see that event."""
    series = [line for line in metrics.decode().splitlines() if not line.startswith("#")]
    rules = [rule for group in alert_groups() for rule in group["rules"]]
    asked = [
        found for rule in rules for found in re.findall(r"(?<!:)\b((?:vit|process)_\w+)(?:{(.*?)})?", rule["expr"])
    ]
    assert len({name for name, _ in asked}) >= 14
    for name, selector in asked:
        of_name = [line for line in series if re.match(rf"{name}[{{ ]", line)]
        if name.startswith("vit_request_duration_seconds"):  # it appears with the first answer, which is not late then
            continue
        assert of_name, name
        for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"(.*?)"', selector):
            for one in values.split("|"):
                assert label == "job" or any(f'{label}="{one}"' in line for line in of_name), (name, label, one)


def test_what_is_recorded_is_what_the_alerts_ask_for() -> None:
    rules = [rule for group in alert_groups() for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert recorded == {name for rule in rules for name in re.findall(r"\bjob:\w+:\w+", rule["expr"])}


def test_prometheus_scrapes_the_service_and_judges_the_alerts(
    vit_serve: Server, admin_port: int, tmp_path: Path
) -> None:
    with prometheus_of(admin_port, tmp_path) as prometheus:
        assert wait_for_value(prometheus, 'up{job="vit-serve"}', "1") == "1"  # through the admin port
        assert wait_for_value(prometheus, "vit_ready") == "1"
        assert wait_for_value(prometheus, 'vit_model_info{name="noop", engine="noop"}') == "1"
        for name in NAMES:  # that nothing is scraped is pending until the evaluation after the first scrape
            wait_for_state(prometheus, name, "inactive")


@pytest.mark.operations
@pytest.mark.timeout(180)
def test_a_fault_fires_its_alert_and_its_end_ends_it(tmp_path: Path) -> None:
    """Of a real process: one that hangs, one that goes on, one that takes no images any more, one that is killed."""
    port = free_port()
    command = [*service("noop"), "--admin-port", str(port), "--drain-delay-s", "120"]
    with running(command, tmp_path / "service.log") as server, prometheus_of(port, tmp_path, "2s") as prometheus:
        wait_for_value(prometheus, "vit_ready", "1")
        wait_for_state(prometheus, "VitServeDown", "inactive")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            wait_for_state(prometheus, "VitServeDown", "firing")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        wait_for_state(prometheus, "VitServeDown", "inactive")
        assert states(prometheus)["VitServeNotReady"] == {("ok", "inactive")}
        os.kill(server.pid, signal.SIGTERM)
        wait_for_state(prometheus, "VitServeNotReady", "firing")
        assert states(prometheus)["VitServeDown"] == {("ok", "inactive")}
        os.killpg(server.pid, signal.SIGKILL)
        wait_for_state(prometheus, "VitServeDown", "firing")
        (fired,) = [
            each for each in ask(prometheus, "alerts")["alerts"] if each["labels"]["alertname"] == "VitServeDown"
        ]
        assert fired["labels"]["severity"] == "critical"
        assert fired["annotations"]["runbook"].endswith("#vitservedown")


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "pager"), ("warning", "morning")])
def test_who_is_told_goes_by_severity(severity: str, receiver: str) -> None:
    file = PROMETHEUS / "alertmanager.yml"
    output(tool("amtool"), "check-config", file)
    told = output(tool("amtool"), "config", "routes", "test", f"--config.file={file}", f"severity={severity}")
    assert told.split()[-1] == receiver
