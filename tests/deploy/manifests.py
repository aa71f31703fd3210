"""Owns the manifests as a cluster would get them: built by kustomize, read, looked up; does not judge them."""

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from app.settings import Settings
from tests.deploy.tools import DEPLOY, output, tool

KUBERNETES: Final = DEPLOY / "kubernetes"
BASE: Final = KUBERNETES / "base"
COMPONENTS: Final = {path.name: path for path in sorted((KUBERNETES / "components").iterdir())}
EXAMPLES: Final = {path.name: path for path in sorted((KUBERNETES / "examples").iterdir())}
KSERVE: Final = KUBERNETES / "kserve"
LAST: Final = ("cpu", "gpu")  # which give all before them their name
UNITS: Final = {"Mi": 2**20, "Gi": 2**30, "m": 2**20, "g": 2**30}

Document = dict[str, Any]


def load(path: Path) -> Document:
    """The one document of a file."""
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    return content


@functools.cache
def build(folder: Path) -> tuple[Document, ...]:
    """What `kubectl apply -k` would send; the test is skipped where there is no kubectl."""
    return tuple(yaml.safe_load_all(output(tool("kubectl"), "kustomize", folder)))


@functools.cache
def build_component(name: str) -> tuple[Document, ...]:
    """The base with one component, named as `cpu` does, or as `gpu` where it is for that."""
    last = "gpu" if name.startswith("gpu") else "cpu"
    return build_components(*{"gpu-mig": [last, name], last: [last]}.get(name, [name, last]))


def build_components(*names: str) -> tuple[Document, ...]:
    """The base with components, in this order."""
    with tempfile.TemporaryDirectory() as folder:
        home = os.path.relpath(KUBERNETES.resolve(), Path(folder).resolve())  # kustomize wants relative paths
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{home}/base"],
            "components": [f"{home}/components/{name}" for name in names],
        }
        Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(content))
        return tuple(yaml.safe_load_all(output(tool("kubectl"), "kustomize", folder)))


BUILDS: Final = [*EXAMPLES, *(f"component {name}" for name in COMPONENTS), "kserve"]


def built(name: str) -> tuple[Document, ...]:
    """One of BUILDS."""
    if name == "kserve":
        return build(KSERVE)
    return build(EXAMPLES[name]) if name in EXAMPLES else build_component(name.removeprefix("component "))


def of_kind(documents: tuple[Document, ...], kind: str) -> list[Document]:
    """Those of one kind."""
    return [document for document in documents if document["kind"] == kind]


def one(documents: tuple[Document, ...], kind: str) -> Document:
    """The only one of a kind."""
    (only,) = of_kind(documents, kind)
    return only


def pod(documents: tuple[Document, ...]) -> Document:
    """The pod of the Deployment, or of KServe's runtime with what its service adds."""
    if runtimes := of_kind(documents, "ServingRuntime"):
        predictor = one(documents, "InferenceService")["spec"]["predictor"]
        return {**runtimes[0]["spec"], **{key: predictor[key] for key in predictor if key.startswith("termination")}}
    spec: Document = one(documents, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(documents: tuple[Document, ...]) -> Document:
    """The service's container."""
    (only,) = pod(documents)["containers"]
    assert isinstance(only, dict)
    return only


def containers(documents: tuple[Document, ...]) -> list[Document]:
    """All containers of the pod."""
    spec = pod(documents)
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(of: Document) -> dict[str, str]:
    """A container's variables with a value of their own."""
    return {entry["name"]: entry["value"] for entry in of.get("env", []) if "value" in entry}


def settings_from(variables: dict[str, str]) -> Settings:
    """What the service would understand; a variable that is no setting is an error."""
    options = {name.removeprefix("VIT_").lower(): value for name, value in variables.items()}
    assert options.keys() <= Settings.model_fields.keys()
    return Settings.model_validate(options)


def size_bytes(text: str) -> int:
    """`2Gi` or `2g` in bytes."""
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * UNITS[unit]


def strings(value: Any) -> Iterator[str]:
    """All strings in a document, keys too."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield str(key)
            yield from strings(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from strings(inside)
    elif isinstance(value, str):
        yield value
