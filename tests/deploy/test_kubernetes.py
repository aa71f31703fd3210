"""Owns the proof that manifests and compose file fit the application they start; does not start a cluster."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.app import create_app
from app.bootstrap import open_classifier
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.version import VERSION
from tests.deploy.manifests import (
    BASE,
    BUILDS,
    COMPONENTS,
    EXAMPLES,
    build_component,
    built,
    container,
    containers,
    environment,
    load,
    of_kind,
    one,
    pod,
    settings_from,
    size_bytes,
)
from tests.deploy.tools import DEPLOY, ROOT

PROCESS_BYTES = {"cpu": 0.3 * 2**30, "cuda": 4 * 2**30}  # README.md has what was measured; with CUDA a generous guess
COMPOSE = load(ROOT / "docker-compose.yml")["services"]["vit-serve"]
PROBES = ("startup", "readiness", "liveness")


def settings_of(name: str) -> Settings:
    return settings_from(environment(container(built(name))))


@pytest.mark.parametrize("name", [*BUILDS, "compose"])
def test_every_variable_is_a_setting_and_its_value_fits(name: str) -> None:
    variables = COMPOSE["environment"] if name == "compose" else environment(container(built(name)))
    assert settings_from(variables).model_fields_set >= {"admin_port", "max_bodies_bytes", "max_decode_bytes"}


@pytest.mark.parametrize("name", BUILDS)
def test_probes_ask_the_admin_port(name: str) -> None:
    service, admin = container(built(name)), settings_of(name).admin_port
    assert admin not in (0, Settings.model_fields["port"].default)
    (named,) = (each["name"] for each in service["ports"] if each["containerPort"] == admin)
    asked = [service[f"{probe}Probe"]["httpGet"] for probe in PROBES]
    assert {each["port"] for each in asked} <= {named, admin}
    assert [each["path"] for each in asked] == ["/readyz", "/readyz", "/livez"]


async def test_the_probes_and_the_scrapes_ask_for_paths_that_exist() -> None:
    base = built("component cpu")
    annotations = one(base, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    (endpoint,) = one(build_component("monitoring"), "PodMonitor")["spec"]["podMetricsEndpoints"]
    probes = [container(base)[f"{probe}Probe"]["httpGet"]["path"] for probe in PROBES]
    settings, metrics = Settings(model="noop"), Metrics()
    async with open_classifier(settings, metrics) as classifier:
        await classifier.ready()
        transport = httpx.ASGITransport(create_app(settings, classifier, metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for path in (*probes, annotations["prometheus.io/path"], endpoint["path"]):
                assert (await client.get(path)).status_code == 200


def test_images_go_to_the_port_that_the_image_listens_on() -> None:
    port = Settings.model_fields["port"].default
    assert f"\nEXPOSE {port}\n" in (ROOT / "Dockerfile").read_text()
    base = built("component cpu")
    http = next(named for named in container(base)["ports"] if named["containerPort"] == port)
    (of_service,) = one(base, "Service")["spec"]["ports"]  # the admin port is nobody's outside
    assert of_service["targetPort"] == http["name"]
    assert container(built("kserve"))["ports"][0]["containerPort"] == port  # of which KServe makes a Service
    (published,) = COMPOSE["ports"]
    assert published.endswith(f":{port}")


def test_scrapes_go_to_the_admin_port() -> None:
    base = built("component cpu")
    annotations = one(base, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings_of("component cpu").admin_port)
    for name in ("component monitoring", "kserve"):
        (endpoint,) = one(built(name), "PodMonitor")["spec"]["podMetricsEndpoints"]
        (scraped,) = (each for each in container(built(name))["ports"] if each["name"] == endpoint["port"])
        assert scraped["containerPort"] == settings_of(name).admin_port
    monitored = one(built("component monitoring"), "Deployment")["spec"]["template"]["metadata"]
    assert "annotations" not in monitored, "it would be scraped twice"
    (scrape,) = load(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
    in_compose = settings_from(COMPOSE["environment"]).admin_port
    assert scrape["static_configs"] == [{"targets": [f"vit-serve:{in_compose}"]}]
    assert str(in_compose) not in COMPOSE["ports"][0]


@pytest.mark.parametrize("name", ["component monitoring", "kserve"])
def test_the_job_of_a_scrape_is_the_one_that_the_alerts_ask_for(name: str) -> None:
    documents = built(name)
    label = one(documents, "PodMonitor")["spec"]["jobLabel"]
    if name == "kserve":  # which gives its pods the name of the service
        assert label == "serving.kserve.io/inferenceservice"
        job = one(documents, "InferenceService")["metadata"]["name"]
    else:
        job = one(documents, "Deployment")["spec"]["template"]["metadata"]["labels"][label]
    assert f'job="{job}"' in (DEPLOY / "prometheus/alerts.yml").read_text()


@pytest.mark.parametrize("name", BUILDS)
def test_the_grace_period_outlasts_the_one_deadline_of_the_shutdown(name: str) -> None:
    settings, probe = settings_of(name), container(built(name))["readinessProbe"]
    assert settings.drain_delay_s > probe["periodSeconds"] * probe["failureThreshold"]
    grace_s = pod(built(name))["terminationGracePeriodSeconds"]
    assert grace_s >= settings.drain_delay_s + settings.drain_timeout_s + 5


def test_composes_grace_period_does_so_too() -> None:
    settings = settings_from(COMPOSE["environment"])
    grace_s = float(COMPOSE["stop_grace_period"].removesuffix("s"))
    assert grace_s >= settings.drain_delay_s + settings.drain_timeout_s + 5


@pytest.mark.parametrize("name", BUILDS)
def test_a_warm_up_is_given_up_by_the_startup_probe_first(name: str) -> None:
    """Which starts the container again; the service's own limit is for those that have no such probe."""
    probe = container(built(name))["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < settings_of(name).warm_up_timeout_s


def test_what_a_service_fetches_itself_is_in_the_budget_of_its_start() -> None:
    def budget_s(name: str) -> int:
        probe = container(built(name))["startupProbe"]
        return int(probe["periodSeconds"] * probe["failureThreshold"])

    for name in BUILDS:
        if "hf-hub:" in environment(container(built(name))).get("VIT_MODEL", ""):
            assert budget_s(name) >= 600, name
    assert budget_s("component slow-start") >= 600


def test_a_process_that_failed_ends_and_is_started_again() -> None:
    assert COMPOSE["restart"] == "unless-stopped"
    assert COMPOSE["init"]  # which passes the exit code on
    assert settings_from(COMPOSE["environment"]).failed_grace_s == Settings.model_fields["failed_grace_s"].default


@pytest.mark.parametrize("name", [*BUILDS, "compose"])
def test_what_strangers_can_fill_fits_into_the_memory_beside_the_process(name: str) -> None:
    """Bodies and as much again for what is unpacked from them; decoding of large pictures, and ordinary ones beside."""
    if name == "compose":
        variables, limit = COMPOSE["environment"], COMPOSE["mem_limit"]
    else:
        service = container(built(name))
        variables, limit = environment(service), service["resources"]["limits"]["memory"]
    settings = settings_from(variables)
    strangers = 2 * settings.max_bodies_bytes + 1.5 * settings.max_decode_bytes
    process = PROCESS_BYTES["cuda" if settings.device == "cuda" else "cpu"]
    assert strangers + process <= 0.9 * size_bytes(limit)
    assert settings.max_body_bytes <= settings.max_bodies_bytes / 8  # one client cannot take all of it


def test_the_proxies_let_through_what_the_service_takes_and_nothing_but_the_api() -> None:
    settings = settings_of("component ingress")
    ingress = one(built("component ingress"), "Ingress")
    annotations = {key.rpartition("/")[2]: value for key, value in ingress["metadata"]["annotations"].items()}
    assert size_bytes(annotations["proxy-body-size"]) == settings.max_body_bytes
    assert float(annotations["proxy-read-timeout"]) > settings.request_timeout_ms / 1000
    assert [path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]] == ["/v1/"]
    (rule,) = one(built("component gateway"), "HTTPRoute")["spec"]["rules"]
    assert float(rule["timeouts"]["request"].removesuffix("s")) > settings.request_timeout_ms / 1000
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1/"}}]
    assert [each["port"] for each in rule["backendRefs"]] == [
        each["port"] for each in one(built("component gateway"), "Service")["spec"]["ports"]
    ]


def test_the_cache_is_where_the_image_has_it_and_outlives_the_container() -> None:
    base = built("component cpu")
    (mount,) = (each["mountPath"] for each in container(base)["volumeMounts"] if each["name"] == "cache")
    assert mount == environment(container(base))["VIT_CACHE_DIR"]
    assert f" VIT_CACHE_DIR={mount} " in (ROOT / "Dockerfile").read_text()
    assert COMPOSE["volumes"][1] == f"cache:{mount}"
    (cache,) = (each for each in pod(base)["volumes"] if each["name"] == "cache")
    assert "medium" not in cache["emptyDir"], "memory, which the limit does not count on"


def test_the_tags_are_this_version_and_a_kind_of_image_that_there_is() -> None:
    tags: dict[str, set[Any]] = {}
    for path in [*COMPONENTS.values(), Path(BASE).parent / "kserve"]:
        for image in load(path / "kustomization.yaml").get("images", []):
            tags.setdefault(image["name"], set()).add(image["newTag"])
    kinds = {name: {tag.removeprefix(f"{VERSION}-") for tag in tags[name]} for name in ("vit-serve", "vit-serve-torch")}
    assert kinds == {"vit-serve": {"openvino", "cuda"}, "vit-serve-torch": {"torch"}}
    assert all(f"vit-serve:{kind}" in (DEPLOY / "README.md").read_text() for kind in ("openvino", "torch", "cuda"))
    assert "images" not in load(BASE / "kustomization.yaml")


def test_the_gpus_pods_ask_for_a_gpu_and_use_it() -> None:
    for name, resource in (("gpu", "nvidia.com/gpu"), ("gpu-mig", "nvidia.com/mig-1g.18gb")):
        resources = container(built(name))["resources"]
        for kind in ("requests", "limits"):
            asked = {key: value for key, value in resources[kind].items() if key.startswith("nvidia.com/")}
            assert asked == {resource: "1"}
        assert settings_of(name).device == "cuda"
        assert pod(built(name))["runtimeClassName"] == "nvidia"
        assert "nvidia.com/gpu.present" in pod(built(name))["nodeSelector"]
    assert int(container(built("gpu"))["resources"]["limits"]["cpu"]) >= 16, "4 starve a fast GPU"


def test_everything_that_runs_is_counted_in_the_tests_here() -> None:
    """A build with another container than the service and what brings its model would be judged by nobody."""
    for name in BUILDS:
        assert len(of_kind(built(name), "Deployment")) == (name != "kserve")
        assert [each["name"] for each in containers(built(name))][-1] in ("vit-serve", "kserve-container")
    assert {name for name in EXAMPLES if len(containers(built(name))) > 1} == {
        "model-from-hub",
        "model-from-image",
        "model-from-s3",
    }
