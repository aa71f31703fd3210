"""Owns the proof that manifests and compose file fit the application they start; does not start a cluster."""

import re
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
GPU = KUBERNETES / "overlays/gpu/deployment.yaml"
MODEL = KUBERNETES / "overlays/model/deployment.yaml"
PROCESS_BYTES = 0.3 * 2**30  # with the embedded model; README.md has what was measured
UNITS = {"Mi": 2**20, "Gi": 2**30, "m": 2**20, "g": 2**30}


def load(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    return content


def size_bytes(text: str) -> int:
    """`2Gi` or `2g` in bytes."""
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * UNITS[unit]


def pod(path: Path = BASE / "deployment.yaml") -> dict[str, Any]:
    spec: dict[str, Any] = load(path)["spec"]["template"]["spec"]
    return spec


def container(path: Path = BASE / "deployment.yaml") -> dict[str, Any]:
    (only,) = pod(path)["containers"]
    assert isinstance(only, dict)
    return only


def init_container() -> dict[str, Any]:
    (only,) = pod(MODEL)["initContainers"]
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
    "gpu": environment(GPU),
    "compose": COMPOSE["environment"],
}


PROBES = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}


@pytest.mark.parametrize("where", ENVIRONMENTS)
def test_every_variable_is_a_setting_and_its_value_fits(where: str) -> None:
    assert settings_from(ENVIRONMENTS[where]).model_fields_set & {"device", "max_bodies_bytes"}


async def test_the_probes_and_the_scrape_ask_for_paths_that_exist() -> None:
    settings, metrics = Settings(model="noop"), Metrics()
    assert {name: probe["path"] for name, probe in PROBES.items()} == {
        "startup": "/readyz",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    annotations = load(BASE / "deployment.yaml")["spec"]["template"]["metadata"]["annotations"]
    async with open_classifier(settings, metrics) as classifier:
        await classifier.ready()
        transport = httpx.ASGITransport(create_app(settings, classifier, metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for path in (*(probe["path"] for probe in PROBES.values()), annotations["prometheus.io/path"]):
                assert (await client.get(path)).status_code == 200


def test_images_go_to_the_port_that_the_image_listens_on() -> None:
    port = Settings.model_fields["port"].default
    assert f"\nEXPOSE {port}\n" in (ROOT / "Dockerfile").read_text()
    http = next(named for named in container()["ports"] if named["containerPort"] == port)
    (of_service,) = load(BASE / "service.yaml")["spec"]["ports"]  # the admin port is nobody's outside
    assert of_service["targetPort"] == http["name"]
    (published,) = COMPOSE["ports"]
    assert published.endswith(f":{port}")


def test_probes_and_scrape_go_to_the_admin_port() -> None:
    admin = settings_from(environment()).admin_port
    assert admin not in (0, Settings.model_fields["port"].default)
    named = next(named for named in container()["ports"] if named["containerPort"] == admin)
    assert {probe["port"] for probe in PROBES.values()} == {named["name"]}
    annotations = load(BASE / "deployment.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(admin)
    (scrape,) = load(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
    in_compose = settings_from(COMPOSE["environment"]).admin_port
    assert scrape["static_configs"] == [{"targets": [f"{container()['name']}:{in_compose}"]}]
    assert str(in_compose) not in COMPOSE["ports"][0]


def test_the_grace_period_outlasts_the_one_deadline_of_the_shutdown() -> None:
    settings = settings_from(environment())
    probe = container()["readinessProbe"]
    assert settings.drain_delay_s > probe["periodSeconds"] * probe["failureThreshold"]
    assert pod()["terminationGracePeriodSeconds"] >= settings.drain_delay_s + settings.drain_timeout_s + 5
    defaults = settings_from(COMPOSE["environment"])
    grace_s = float(COMPOSE["stop_grace_period"].removesuffix("s"))
    assert grace_s >= defaults.drain_delay_s + defaults.drain_timeout_s + 5


def test_a_warm_up_is_given_up_by_the_startup_probe_first() -> None:
    """Which starts the container again; the service's own limit is for those that have no such probe."""
    probe = container()["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < settings_from(environment()).warm_up_timeout_s


def test_a_process_that_failed_ends_and_is_started_again() -> None:
    assert COMPOSE["restart"] == "unless-stopped"
    assert COMPOSE["init"]  # which passes the exit code on
    assert settings_from(COMPOSE["environment"]).failed_grace_s == Settings.model_fields["failed_grace_s"].default


@pytest.mark.parametrize(
    ("variables", "limit"),
    [
        (environment(), container()["resources"]["limits"]["memory"]),
        ({**environment(), **ENVIRONMENTS["gpu"]}, container(GPU)["resources"]["limits"]["memory"]),
        (COMPOSE["environment"], COMPOSE["mem_limit"]),
    ],
    ids=["base", "gpu", "compose"],
)
def test_what_strangers_can_fill_fits_into_the_memory_beside_the_process(variables: dict[str, str], limit: str) -> None:
    """Bodies and as much again for what is unpacked from them; decoding of large pictures, and ordinary ones beside."""
    settings = settings_from(variables)
    assert variables.keys() >= {"VIT_MAX_BODIES_BYTES", "VIT_MAX_DECODE_BYTES"}  # said, not left to a default
    strangers = 2 * settings.max_bodies_bytes + 1.5 * settings.max_decode_bytes
    assert strangers + PROCESS_BYTES <= 0.9 * size_bytes(limit)
    assert settings.max_body_bytes <= settings.max_bodies_bytes / 8  # one client cannot take all of it


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


@pytest.mark.parametrize(
    ("overlay", "tags"),
    [
        ("cpu", {"vit-serve": "openvino"}),
        ("gpu", {"vit-serve": "cuda"}),
        ("model", {"vit-serve": "openvino", "vit-serve-torch": "torch"}),
    ],
)
def test_the_image_is_set_where_it_is_found_and_is_one_that_the_dockerfile_tells_how_to_build(
    overlay: str, tags: dict[str, str]
) -> None:
    images = load(KUBERNETES / "overlays" / overlay / "kustomization.yaml")["images"]
    assert {image["name"]: image["newTag"] for image in images} == tags
    assert tags.keys() == {container()["image"], *([init_container()["image"]] if overlay == "model" else [])}
    builds = re.findall(r"^#   docker build -t (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {f"{image['newName']}:{image['newTag']}" for image in images} <= set(builds)
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


def test_the_cache_is_where_the_image_has_it_and_outlives_the_container() -> None:
    (mount,) = (each["mountPath"] for each in container()["volumeMounts"] if each["name"] == "cache")
    assert mount == environment()["VIT_CACHE_DIR"]
    assert f" VIT_CACHE_DIR={mount} " in (ROOT / "Dockerfile").read_text()
    assert COMPOSE["volumes"][1] == f"cache:{mount}"
    (cache,) = (each for each in pod()["volumes"] if each["name"] == "cache")
    assert "medium" not in cache["emptyDir"], "memory, which the limit does not count on"


def test_the_init_container_builds_what_is_served_and_is_locked_in_as_the_service() -> None:
    build, served = init_container(), environment(MODEL)["VIT_MODEL"]
    assert build["command"][-1].endswith(f'exec vit-serve build "$MODEL" --out {served}')
    assert f"test -e {served} ||" in build["command"][-1]  # when it is started again
    assert build["securityContext"] == container()["securityContext"]
    mounts = {each["name"]: each["mountPath"] for each in container(MODEL)["volumeMounts"]}
    assert Path(served).parent == Path(mounts["models"])
    volumes = {each["name"] for path in (MODEL, BASE / "deployment.yaml") for each in pod(path)["volumes"]}
    assert {each["name"] for each in build["volumeMounts"]} <= volumes
    written = [each["mountPath"] for each in build["volumeMounts"] if not each.get("readOnly")]
    (hub,) = (each["value"] for each in build["env"] if each["name"] == "HF_HOME")
    assert all(any(path.startswith(mount + "/") for mount in written) for path in (served, hub))


def test_the_gpu_overlay_asks_for_a_gpu_and_uses_it() -> None:
    assert container(GPU)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert environment(GPU)["VIT_DEVICE"] == "cuda"
