"""Owns the proof that autoscalers ask for what the service tells, and mean the same; runs no autoscaler."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.benchmark.server import Server, running, service
from tests.deploy.manifests import (
    COMPONENTS,
    EXAMPLES,
    Document,
    build,
    built,
    container,
    environment,
    load,
    one,
    pod,
    settings_from,
)
from tests.deploy.tools import output, tool

ADAPTER = load(COMPONENTS["hpa"] / "adapter.yaml")["rules"]["custom"]
GROUP_BY = "namespace,pod"
# Two pods of ours; one that is not ready, without lanes; one of the same name in another namespace; ten seconds apart.
NAMESPACE, INSTANCE = "vit-serve", "vit-serve-gpu"
BUSY = {("a", NAMESPACE): "0+10x30", ("b", NAMESPACE): "0+2.5x30", ("c", NAMESPACE): "0x30", ("a", "other"): "0+10x30"}
LANES = {("a", NAMESPACE): "2x30", ("b", NAMESPACE): "1x30", ("c", NAMESPACE): "0x30", ("a", "other"): "1x30"}
WAIT = {("a", NAMESPACE): "0x27 0.5 0x2", ("b", NAMESPACE): "8x20 0.25x10", ("a", "other"): "8x30"}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """The names of all series of a service that has answered a request."""
    with running(service("noop"), tmp_path_factory.mktemp("vit-serve") / "log") as server:
        yield series_of(server)


def series_of(server: Server) -> set[str]:
    server.get("/v1/model")
    _, text = server.get("/metrics")
    return {re.split(r"[{ ]", line)[0] for line in text.decode().splitlines() if not line.startswith("#")}


def adapter_query(name: str, pods: str) -> str:
    """As prometheus-adapter asks for pods of one namespace."""
    (rule,) = (rule for rule in ADAPTER if rule["name"]["as"] == name)
    matchers = f'namespace="{NAMESPACE}",pod=~"{pods}"'
    query = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"].partition("{")[0])
    query = query.replace("<<.LabelMatchers>>", matchers).replace("<<.GroupBy>>", GROUP_BY)
    assert "<<" not in query
    return str(query)


def keda_triggers() -> list[Document]:
    triggers: list[Document] = one(build(EXAMPLES["autoscaled-keda"]), "ScaledObject")["spec"]["triggers"]
    return triggers


def kserve_metric() -> Document:
    predictor = one(built("kserve"), "InferenceService")["spec"]["predictor"]
    (metric,) = predictor["autoScaling"]["metrics"]
    external: Document = metric["external"]
    return external


def hpa() -> Document:
    spec: Document = one(built("autoscaled-hpa"), "HorizontalPodAutoscaler")["spec"]
    return spec


def number(quantity: str) -> float:
    return float(quantity.removesuffix("m")) / (1000 if quantity.endswith("m") else 1)


def test_what_the_autoscalers_ask_for_is_told_by_the_service(metrics: set[str]) -> None:
    queries = [adapter_query(rule["name"]["as"], "a") for rule in ADAPTER]
    queries += [trigger["metadata"]["query"] for trigger in keda_triggers()]
    queries += [kserve_metric()["metric"]["query"]]
    asked = {name for query in queries for name in re.findall(r"\bvit_\w+", query)}
    assert asked == {"vit_device_busy_seconds_total", "vit_lanes", "vit_expected_wait_seconds"}
    assert asked <= metrics
    assert {rule["seriesQuery"].partition("{")[0] for rule in ADAPTER} <= metrics


def test_the_autoscaler_asks_for_what_the_adapter_offers() -> None:
    asked = [metric["pods"]["metric"]["name"] for metric in hpa()["metrics"]]
    assert asked == [rule["name"]["as"] for rule in ADAPTER]
    for rule in ADAPTER:
        resources = {label: value["resource"] for label, value in rule["resources"]["overrides"].items()}
        assert resources == {"namespace": "namespace", "pod": "pod"}
        assert all(f'{label}!=""' in rule["seriesQuery"] for label in resources)


def test_both_scale_by_the_same_measure_in_the_same_way() -> None:
    scaled = one(build(EXAMPLES["autoscaled-keda"]), "ScaledObject")["spec"]
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa()["behavior"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (hpa()["minReplicas"], hpa()["maxReplicas"])
    targets = [number(metric["pods"]["target"]["averageValue"]) for metric in hpa()["metrics"]]
    assert [number(trigger["metadata"]["threshold"]) for trigger in keda_triggers()] == targets
    assert all(trigger["metricType"] == "AverageValue" for trigger in keda_triggers())
    assert number(kserve_metric()["target"]["value"]) == 100 * targets[0]
    assert kserve_metric()["target"]["value"].isdigit(), "older ones pass on whole numbers only"


@pytest.mark.parametrize("name", ["autoscaled-hpa", "autoscaled-keda"])
def test_replicas_are_the_autoscalers(name: str) -> None:
    assert "replicas" not in one(built(name), "Deployment")["spec"]


@pytest.mark.parametrize("name", ["autoscaled-hpa", "autoscaled-keda"])
def test_scaling_down_leaves_each_pod_its_drain_and_begins_later_than_a_pod_needs_to_start(name: str) -> None:
    down, documents = hpa()["behavior"]["scaleDown"], built(name)
    assert all(rule["periodSeconds"] >= pod(documents)["terminationGracePeriodSeconds"] for rule in down["policies"])
    probe = container(documents)["startupProbe"]
    assert down["stabilizationWindowSeconds"] >= probe["periodSeconds"] * probe["failureThreshold"]
    (few,) = (rule["value"] for rule in down["policies"] if rule["type"] == "Pods")
    assert few == 1
    assert all(rule["value"] <= 10 for rule in down["policies"] if rule["type"] == "Percent")


def test_there_are_more_pods_before_anybody_is_refused() -> None:
    target = number(hpa()["metrics"][1]["pods"]["target"]["averageValue"])
    assert target < settings_from(environment(container(built("autoscaled-hpa")))).max_wait_ms / 1000 / 2


def series(name: str, of: dict[tuple[str, str], str]) -> Iterator[dict[str, str]]:
    for (pod_name, namespace), values in of.items():
        labels = f'namespace="{namespace}",pod="{pod_name}",app_kubernetes_io_instance="{INSTANCE}"'
        yield {"series": f"{name}{{{labels}}}", "values": values}


def expect(query: str, **values: float) -> dict[str, Any]:
    """After five minutes the query gives these values, by pod; `total`: one without labels."""
    samples = [
        {"value": value, "labels": "{}" if name == "total" else f'{{namespace="{NAMESPACE}",pod="{name}"}}'}
        for name, value in values.items()
    ]
    return {"expr": query, "eval_time": "5m", "exp_samples": samples}


def test_prometheus_answers_both_with_the_load(tmp_path: Path) -> None:
    """The adapter by pod, of which the autoscaler takes the mean; KEDA their sum, which it divides by their number."""
    busy, wait = (trigger["metadata"]["query"] for trigger in keda_triggers())
    kserve = (
        kserve_metric()["metric"]["query"].replace('"default"', f'"{NAMESPACE}"').replace("vit-serve-predictor-.+", ".")
    )
    test = {
        "interval": "10s",
        "input_series": [
            *series("vit_device_busy_seconds_total", BUSY),
            *series("vit_lanes", LANES),
            *series("vit_expected_wait_seconds", WAIT),
        ],
        "promql_expr_test": [
            expect(adapter_query("vit_device_busy", "a|b|c"), a=0.5, b=0.25),
            expect(adapter_query("vit_expected_wait_seconds", "a|b"), a=0.5, b=0.25),
            expect(busy, total=0.75),
            expect(wait, total=0.75),
            expect(kserve, total=75),
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    output(tool("promtool"), "test", "rules", tmp_path / "test.yml")


def test_kedas_queries_are_for_the_pods_of_the_example_alone() -> None:
    documents = build(EXAMPLES["autoscaled-keda"])
    deployment = one(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (kept,) = one(documents, "PodMonitor")["spec"]["podTargetLabels"]
    assert (deployment["metadata"]["namespace"], labels[kept]) == (NAMESPACE, INSTANCE)
    own = f'{{namespace="{NAMESPACE}",{re.sub("[./]", "_", kept)}="{labels[kept]}"}}'
    assert all(own in trigger["metadata"]["query"] for trigger in keda_triggers())
