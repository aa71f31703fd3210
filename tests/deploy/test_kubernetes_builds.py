"""Owns the proof that every component and example builds and is what Kubernetes' schemas ask for; starts no cluster."""

import functools
import json
import re
from pathlib import Path

import kubernetes_validate
import pytest
from jsonschema import Draft202012Validator

from tests.deploy.custom_resources import SCHEMAS
from tests.deploy.manifests import (
    BUILDS,
    COMPONENTS,
    EXAMPLES,
    KUBERNETES,
    LAST,
    Document,
    build,
    build_components,
    built,
    load,
    of_kind,
    one,
    pod,
    strings,
)
from tests.deploy.tools import ROOT, output

VERSIONS = ("1.32", kubernetes_validate.latest_version())  # the oldest that we look at, and the newest that it knows


@functools.cache
def validate(document: str) -> None:
    """Of the core's kinds, in JSON: most documents are in many builds. Raises ValidationError."""
    for version in VERSIONS:
        kubernetes_validate.validate(json.loads(document), version, strict=True)


@pytest.mark.parametrize("name", BUILDS)
def test_it_builds_and_is_valid_by_the_schemas(name: str) -> None:
    documents = built(name)
    assert documents
    for document in documents:
        kind = document["apiVersion"].partition("/")[0], document["kind"]
        if kind in SCHEMAS:
            Draft202012Validator(SCHEMAS[kind]).validate(document)
        else:
            validate(json.dumps(document))


@pytest.mark.parametrize("field", ["replicaz", "strategyy"])
def test_the_schemas_of_the_core_refuse_what_is_misspelt(field: str) -> None:
    deployment = one(built("component cpu"), "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(json.dumps({**deployment, "spec": {**deployment["spec"], field: 2}}))


def test_the_schemas_of_custom_resources_refuse_what_is_misspelt() -> None:
    """Of each kind one, with each field in turn given another name."""
    seen = set()
    for name in BUILDS:
        for document in built(name):
            kind = document["apiVersion"].partition("/")[0], document["kind"]
            if kind in SCHEMAS and kind not in seen:
                seen.add(kind)
                validator = Draft202012Validator(SCHEMAS[kind])
                for field in document["spec"]:
                    wrong = {**document, "spec": {**document["spec"], f"{field}s": document["spec"][field]}}
                    del wrong["spec"][field]
                    assert not validator.is_valid(wrong), (kind, field)
    assert seen == SCHEMAS.keys()


def test_every_file_of_a_kustomization_is_there_and_every_file_belongs_to_one() -> None:
    kustomizations = sorted(KUBERNETES.rglob("kustomization.yaml"))
    used: set[Path] = {*kustomizations, KUBERNETES / "components/hpa/adapter.yaml"}  # of Helm
    for path in kustomizations:
        content = load(path)
        patches = [patch["path"] for patch in content.get("patches", []) if "path" in patch]
        named = [content.get(key, []) for key in ("resources", "components", "configurations")]
        for name in [*patches, *(each for some in named for each in some)]:
            target = (path.parent / name).resolve()
            used.add(target / "kustomization.yaml" if target.is_dir() else target)
    assert used == set(KUBERNETES.rglob("*.yaml"))


def test_every_component_is_in_an_example_that_lists_what_gives_the_name_last() -> None:
    used = set()
    for path in EXAMPLES.values():
        names = [Path(each).name for each in load(path / "kustomization.yaml")["components"]]
        used |= set(names)
        (last,) = (name for name in names if name in LAST)
        assert names[names.index(last) + 1 :] in ([], ["gpu-mig"]), path
    assert used | {"slow-start"} == COMPONENTS.keys()  # which is one line for the few who need it


def test_the_rules_of_the_operator_are_those_of_prometheus() -> None:
    folder = COMPONENTS["alerts"]
    made = output("sh", folder / "rules.sh")
    assert (folder / "rules.yaml").read_text() == made, f"sh {folder}/rules.sh > {folder}/rules.yaml"
    rule = load(folder / "rules.yaml")
    assert rule["spec"] == load(ROOT / "deploy/prometheus/alerts.yml")


def test_cpu_and_gpu_stand_in_one_namespace() -> None:
    others = [name for name in COMPONENTS if not name.startswith(("cpu", "gpu", "keda"))]  # hpa or keda, never both
    cpu, gpu = build_components(*others, "cpu"), build_components(*others, "gpu")
    ids = [{(each["kind"], each["metadata"]["name"]) for each in both} for both in (cpu, gpu)]
    assert not ids[0] & ids[1]
    selectors = [selectors_of(both) for both in (cpu, gpu)]
    labels = [one(both, "Deployment")["spec"]["template"]["metadata"]["labels"] for both in (cpu, gpu)]
    for own in (0, 1):
        assert len(selectors[own]) >= 7
        for selector in selectors[own]:
            assert selector.items() <= labels[own].items(), "it selects its own pods"
            assert not selector.items() <= labels[1 - own].items(), "and none of the other's"


def selectors_of(documents: tuple[Document, ...]) -> list[dict[str, str]]:
    """All by which Service, Deployment, budget, policies, monitor and the spread choose pods."""
    kinds = ("Deployment", "PodDisruptionBudget", "PodMonitor")
    found = [each["spec"]["selector"]["matchLabels"] for kind in kinds for each in of_kind(documents, kind)]
    found += [each["spec"]["selector"] for each in of_kind(documents, "Service")]
    found += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind(documents, "NetworkPolicy")]
    spread = pod(documents)["topologySpreadConstraints"]
    return found + [each["labelSelector"]["matchLabels"] for each in spread]


@pytest.mark.parametrize("name", EXAMPLES)
def test_names_that_point_at_something_point_at_what_is_there(name: str) -> None:
    documents = build(EXAMPLES[name])
    deployment, service = (
        one(documents, "Deployment")["metadata"]["name"],
        one(documents, "Service")["metadata"]["name"],
    )
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for each in of_kind(documents, kind):
            assert each["spec"]["scaleTargetRef"]["name"] == deployment
    for route in of_kind(documents, "HTTPRoute"):
        assert [each["name"] for rule in route["spec"]["rules"] for each in rule["backendRefs"]] == [service]
    for ingress in of_kind(documents, "Ingress"):
        backends = [path["backend"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        assert {each["service"]["name"] for each in backends} == {service}
    spec = pod(documents)
    assert spec["serviceAccountName"] == one(documents, "ServiceAccount")["metadata"]["name"]
    for each in of_kind(documents, "PriorityClass"):
        assert spec["priorityClassName"] == each["metadata"]["name"]
    claims = {each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if "persistentVolumeClaim" in each}
    assert claims == {each["metadata"]["name"] for each in of_kind(documents, "PersistentVolumeClaim")}


@pytest.mark.parametrize("name", [*EXAMPLES, "kserve"])
def test_an_example_has_its_images_from_a_registry_and_nothing_is_left_to_components(name: str) -> None:
    images = set(re.findall(r'"image": "([^"]+)"', str(built(name)).replace("'", '"')))
    assert images and all("/" in image for image in images)


@pytest.mark.parametrize("name", BUILDS)
def test_no_secret_is_written_down(name: str) -> None:
    documents = built(name)
    assert not of_kind(documents, "Secret")
    secret = re.compile(r"AKIA[0-9A-Z]{16}|hf_[A-Za-z]{20,}|eyJ[\w-]{20,}|-----BEGIN")
    assert not [text for document in documents for text in strings(document) if secret.search(text)]
    variables = [each for document in documents for each in named_values(document)]
    sensitive = re.compile(r"TOKEN|PASSWORD|SECRET|ACCESS_KEY", re.IGNORECASE)
    assert not [each for each in variables if sensitive.search(each["name"]) and each.get("value")]


def named_values(value: object) -> list[Document]:
    """All objects with a name, at any depth: variables are among them."""
    if isinstance(value, list):
        return [found for inside in value for found in named_values(inside)]
    if not isinstance(value, dict):
        return []
    inside = [found for each in value.values() for found in named_values(each)]
    return [*([value] if isinstance(value.get("name"), str) else []), *inside]
