"""Owns the proof that manifests and compose file fit the application they start; does not start a cluster."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.api.app import create_app
from app.bootstrap import open_classifier
from app.settings import Settings
from app.telemetry.metrics import Metrics
from tests.deploy.tools import DEPLOY, ROOT

KUBERNETES = DEPLOY / "kubernetes"
BASE = KUBERNETES / "base"
UNITS = {"Mi": 2**20, "Gi": 2**30, "m": 2**20, "g": 2**30}


def load(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    return content


def size_bytes(text: str) -> int:
    """`2Gi` or `2g` in bytes."""
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * UNITS[unit]


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = load(BASE / "deployment.yaml")["spec"]["template"]["spec"]
    return spec


def container(path: Path = BASE / "deployment.yaml") -> dict[str, Any]:
    (only,) = load(path)["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def environment(path: Path = BASE / "deployment.yaml") -> dict[str, str]:
    """Variables with a value of their own; those that the cluster fills in have the value 1."""
    return {entry["name"]: entry.get("value", "1") for entry in container(path)["env"]}


def settings_from(variables: dict[str, str]) -> Settings:
    """What the service would understand; a variable that is no setting is an error."""
    options = {name.removeprefix("VIT_").lower(): value for name, value in variables.items()}
    assert options.keys() <= Settings.model_fields.keys()
    return Settings.model_validate(options)


COMPOSE = load(ROOT / "docker-compose.yml")["services"]["vit-serve"]
ENVIRONMENTS = {
    "base": environment(),
    "gpu": environment(KUBERNETES / "overlays/gpu/deployment.yaml"),
    "compose": COMPOSE["environment"],
}


@pytest.mark.parametrize("where", ENVIRONMENTS)
def test_every_variable_is_a_setting_and_its_value_fits(where: str) -> None:
    changed = settings_from(ENVIRONMENTS[where]).model_dump(exclude_defaults=True)
    assert changed.keys() & {"device", "max_body_bytes"}


async def test_the_probes_and_the_scrape_ask_for_paths_that_exist() -> None:
    settings, metrics = Settings(model="noop"), Metrics()
    probes = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/readyz",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    annotations = load(BASE / "deployment.yaml")["spec"]["template"]["metadata"]["annotations"]
    async with open_classifier(settings, metrics) as classifier:
        await classifier.ready()
        transport = httpx.ASGITransport(create_app(settings, classifier, metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for path in (*(probe["path"] for probe in probes.values()), annotations["prometheus.io/path"]):
                assert (await client.get(path)).status_code == 200


def test_every_port_is_the_one_that_the_image_listens_on() -> None:
    port = Settings.model_fields["port"].default
    assert f"\nEXPOSE {port}\n" in (ROOT / "Dockerfile").read_text()
    (named,) = container()["ports"]
    assert named["containerPort"] == port
    (of_service,) = load(BASE / "service.yaml")["spec"]["ports"]
    targets = [container()[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "readiness", "liveness")]
    assert {of_service["targetPort"], *targets} == {named["name"]}
    annotations = load(BASE / "deployment.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port)
    (scrape,) = load(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"{container()['name']}:{port}"]}]
    assert COMPOSE["ports"][0].endswith(f":{port}")


def test_the_grace_period_outlasts_the_drain() -> None:
    settings = settings_from(environment())
    probe = container()["readinessProbe"]
    assert settings.drain_delay_s > probe["periodSeconds"] * probe["failureThreshold"]
    assert pod()["terminationGracePeriodSeconds"] >= settings.drain_delay_s + settings.drain_timeout_s + 5
    defaults = settings_from(COMPOSE["environment"])
    assert (
        float(COMPOSE["stop_grace_period"].removesuffix("s")) >= defaults.drain_delay_s + defaults.drain_timeout_s + 5
    )


@pytest.mark.parametrize(
    ("variables", "limit"),
    [(environment(), container()["resources"]["limits"]["memory"]), (COMPOSE["environment"], COMPOSE["mem_limit"])],
    ids=["base", "compose"],
)
def test_open_bodies_fill_half_of_the_memory_at_most(variables: dict[str, str], limit: str) -> None:
    settings = settings_from(variables)
    assert settings.max_open_requests * settings.max_body_bytes <= size_bytes(limit) / 2


def test_the_pod_runs_as_the_user_of_the_image() -> None:
    user, group = pod()["securityContext"]["runAsUser"], pod()["securityContext"]["runAsGroup"]
    assert f"\nUSER {user}:{group}\n" in (ROOT / "Dockerfile").read_text()
    assert pod()["securityContext"]["runAsNonRoot"]


def test_every_file_of_a_kustomization_is_there_and_every_file_belongs_to_one() -> None:
    kustomizations = sorted(KUBERNETES.rglob("kustomization.yaml"))
    assert len(kustomizations) >= 2
    used: set[Path] = set(kustomizations)
    for path in kustomizations:
        content = load(path)
        for name in [*content["resources"], *(patch["path"] for patch in content.get("patches", []))]:
            target = (path.parent / name).resolve()
            used.add(target / "kustomization.yaml" if target.is_dir() else target)
    assert used == {path.resolve() for path in KUBERNETES.rglob("*.yaml")}


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_the_image_is_set_where_it_is_found(overlay: str) -> None:
    (image,) = load(KUBERNETES / "overlays" / overlay / "kustomization.yaml")["images"]
    assert image["name"] == container()["image"]
    assert "images" not in load(BASE / "kustomization.yaml"), "after another name there, no overlay would find it"


def test_what_selects_pods_selects_these() -> None:
    (pair,) = load(BASE / "kustomization.yaml")["labels"]
    assert pair["includeSelectors"]
    (spread,) = pod()["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == pair["pairs"]
    assert load(BASE / "budget.yaml")["spec"]["selector"]["matchLabels"] == pair["pairs"]


def test_a_patch_names_what_it_patches() -> None:
    for path in KUBERNETES.glob("overlays/*/deployment.yaml"):
        base, patch = load(BASE / "deployment.yaml"), load(path)
        assert [patch["kind"], patch["metadata"]["name"]] == [base["kind"], base["metadata"]["name"]]
        assert container(path)["name"] == container()["name"]


def test_the_gpu_overlay_asks_for_a_gpu_and_uses_it() -> None:
    path = KUBERNETES / "overlays/gpu/deployment.yaml"
    assert container(path)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert environment(path)["VIT_DEVICE"] == "cuda"
