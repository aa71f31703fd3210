"""Owns the rules that every pod of the manifests follows: locked in, bounded, pinned, closed; does not build images."""

import re

import pytest

from tests.deploy.manifests import (
    BUILDS,
    Document,
    build_component,
    build_components,
    built,
    container,
    containers,
    of_kind,
    one,
    pod,
)
from tests.deploy.tools import ROOT

PINNED = re.compile(r"[^@]+(:[^/@]*\d[^/@]*|@sha256:[0-9a-f]{64})")
VOLUMES = {"emptyDir", "persistentVolumeClaim", "configMap", "secret", "projected"}  # that "restricted" allows


@pytest.mark.parametrize("name", BUILDS)
def test_nothing_may_more_than_the_standard_restricted_allows(name: str) -> None:
    spec = pod(built(name))
    for each in containers(built(name)):
        security = {**spec.get("securityContext", {}), **each["securityContext"]}
        assert security["runAsNonRoot"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "privileged" not in security
        assert not [port for port in each.get("ports", []) if "hostPort" in port]
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert all(volume.keys() - {"name"} <= VOLUMES for volume in spec["volumes"])


@pytest.mark.parametrize("name", BUILDS)
def test_the_pod_runs_as_the_user_of_the_image(name: str) -> None:
    spec = pod(built(name))
    user = {**spec.get("securityContext", {}), **container(built(name))["securityContext"]}["runAsUser"]
    (of_image,) = re.findall(r"^USER (\d+):\d+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user == int(of_image)


@pytest.mark.parametrize("name", [name for name in BUILDS if name != "kserve"])
def test_it_has_no_token_and_no_variables_of_other_services(name: str) -> None:
    spec = pod(built(name))
    assert spec["automountServiceAccountToken"] is False
    assert one(built(name), "ServiceAccount")["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False, "a Service named `vit` would put its address into VIT_PORT"


@pytest.mark.parametrize("name", BUILDS)
def test_what_is_limited_is_reserved(name: str) -> None:
    for each in containers(built(name)):
        resources = each["resources"]
        assert resources["requests"] == resources["limits"]
        assert resources["limits"].keys() >= {"cpu", "memory"}


@pytest.mark.parametrize("name", BUILDS)
def test_no_volume_is_without_a_limit(name: str) -> None:
    empty = [volume["emptyDir"] for volume in pod(built(name))["volumes"] if "emptyDir" in volume]
    assert len(empty) >= 2 and all("sizeLimit" in each for each in empty)


@pytest.mark.parametrize("name", BUILDS)
def test_no_image_is_another_one_tomorrow(name: str) -> None:
    for each in containers(built(name)):
        assert PINNED.fullmatch(each["image"]), each["image"]
        assert each["imagePullPolicy"] == "IfNotPresent", "of a pinned one the node has the right one"


@pytest.mark.parametrize("image", ["vit-serve", "vit-serve:latest", "a.example:5000/vit-serve", "x@sha256:12"])
def test_an_image_without_a_version_is_not_pinned(image: str) -> None:
    assert not PINNED.fullmatch(image)


def test_every_pod_is_spread_over_zones_and_nodes_and_leaves_one_at_a_time() -> None:
    for name in BUILDS:
        if name != "kserve":  # which makes its own
            spread = pod(built(name))["topologySpreadConstraints"]
            assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
            assert one(built(name), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_a_rollout_waits_for_a_gpu_that_is_free_and_on_cpus_for_a_pod_that_is_ready() -> None:
    cpu, gpu = (one(built(f"component {name}"), "Deployment")["spec"] for name in ("cpu", "gpu"))
    assert cpu["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert gpu["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert gpu["replicas"] >= 2, "one goes before another comes"


def policies(documents: tuple[Document, ...]) -> dict[str, Document]:
    return {each["metadata"]["name"]: each["spec"] for each in of_kind(documents, "NetworkPolicy")}


def test_the_admin_port_is_open_to_prometheus_alone_and_the_way_out_to_nobody() -> None:
    policy = policies(build_component("network-policy"))["vit-serve-cpu"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["egress"] == []
    by_port = {port["port"]: rule["from"] for rule in policy["ingress"] for port in rule["ports"]}
    assert by_port.keys() == {"http", "admin"}
    (prometheus,) = by_port["admin"]
    assert [each["values"] for each in prometheus["podSelector"]["matchExpressions"]] == [["prometheus"]]
    # kustomize gives labels to every `matchLabels` that it knows, and no caller has the service's own
    assert all("matchLabels" not in str(caller) for callers in by_port.values() for caller in callers)


@pytest.mark.parametrize("component", ["model-from-hub", "model-from-s3"])
@pytest.mark.parametrize("order", [1, -1])
def test_pods_that_fetch_their_model_are_let_out_wherever_the_component_is_listed(component: str, order: int) -> None:
    documents = build_components(*["network-policy", component][::order], "cpu")
    out = policies(documents)["vit-serve-fetching-cpu"]
    labels = one(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert out["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["port"] for rule in out["egress"] for port in rule["ports"]} == {53, 443}
    without = one(build_component("network-policy"), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not out["podSelector"]["matchLabels"].items() <= without.items()
