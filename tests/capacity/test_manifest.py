"""Owns the tests of capacity/manifest.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.capacity.hpa import DOWN, UP, Direction, Policy, Rules
from app.capacity.keda import ScaledObject
from app.capacity.manifest import read_manifest
from app.errors import SetupError

METRIC = {
    "type": "Pods",
    "pods": {"metric": {"name": "vit_device_busy"}, "target": {"type": "AverageValue", "averageValue": "600m"}},
}
HPA = {"kind": "HorizontalPodAutoscaler", "spec": {"minReplicas": 2, "maxReplicas": 40, "metrics": [METRIC]}}
QUERY = 'sum(rate(vit_device_busy_seconds_total{job="vit"}[1m]) / vit_lanes)'
KEDA = {
    "kind": "ScaledObject",
    "spec": {
        "minReplicaCount": 0,
        "maxReplicaCount": 20,
        "cooldownPeriod": 600,
        "triggers": [
            {"type": "prometheus", "metadata": {"query": QUERY, "threshold": "0.6"}},
            {"type": "prometheus", "metadata": {"query": "sum(rate(nginx_requests[1m]))", "activationThreshold": "2"}},
        ],
    },
}


def read(tmp_path: Path, document: Any) -> Rules | ScaledObject:
    path = tmp_path / "scaler.json"
    path.write_text(json.dumps(document))
    return read_manifest(path)


def test_an_autoscaler_of_kubernetes(tmp_path: Path):
    assert read(tmp_path, HPA) == Rules(2, 40, {"busy": 0.6}, UP, DOWN)


def test_its_behaviour(tmp_path: Path):
    behavior = {
        "scaleDown": {
            "stabilizationWindowSeconds": 60,
            "selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}],
        },
        "scaleUp": {"stabilizationWindowSeconds": 15},
    }
    rules = read(tmp_path, {**HPA, "spec": {**HPA["spec"], "behavior": behavior}})  # type: ignore[dict-item]
    assert isinstance(rules, Rules)
    assert rules.down == Direction((Policy("Pods", 1, 30),), 60, "Min")
    assert rules.up == Direction(UP.policies, 15)


def test_a_scaled_object(tmp_path: Path):
    spec = read(tmp_path, KEDA)
    assert spec == ScaledObject(Rules(1, 20, {"busy": 0.6}), 0, None, 30, 600, 2.0)


def changed(document: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {**document, "spec": {**document["spec"], **spec}}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "no such manifest"),
        ({"kind": "Deployment"}, "its kind is 'Deployment'"),
        ({"kind": "ScaledObject"}, "no such manifest as Kubernetes takes (KeyError: 'spec')"),
        (changed(HPA, metrics=[]), "names no metric"),
        (changed(HPA, metrics=[{"type": "Resource", "resource": {}}]), "of type 'Resource' cannot be simulated"),
        (changed(HPA, minReplicas=50), "from 50 to 40 replicas is no range"),
        (changed(HPA, behavior={"scaleUp": {"selectPolicy": "Most"}}), "selectPolicy is 'Most'"),
        (changed(KEDA, triggers=[{"type": "cpu", "metadata": {}}]), "of type 'cpu'"),
        (
            changed(KEDA, triggers=[{"type": "prometheus", "metadata": {"query": "up", "threshold": "1"}}]),
            "the metric 'up' cannot be simulated",
        ),
    ],
)
def test_what_cannot_be_simulated_is_told_in_one_line(tmp_path: Path, document: Any, reason: str):
    with pytest.raises(SetupError) as caught:
        read(tmp_path, document)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
