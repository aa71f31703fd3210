"""Owns the proof that both images run, locked in, answer and stop, alone and under compose; does not build them."""

import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import yaml

from tests.deploy.containers import (
    LOCKED_IN,
    MEMORY,
    cat,
    client_of,
    inspect,
    picture,
    python,
    started,
    volume,
    wait_until,
)
from tests.deploy.tools import DEPLOY, IMAGE, ROOT, TARGETS, base_image, docker, output, tool

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]  # the first of them waits for the build
PACKAGES = "/opt/vit-serve/lib/python3.11/site-packages"


@pytest.fixture(scope="module")
def container(image: str, target: str) -> Iterator[str]:
    with started(image, f"--memory={MEMORY[target]}") as name:
        yield name


@pytest.fixture(scope="module")
def client(container: str) -> Iterator[httpx.Client]:
    with client_of(container) as client:
        yield client


def test_it_answers_a_picture(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", content=picture(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 5
    assert "notice" not in answer.json()  # which random weights or no model would bring


def test_it_knows_a_cat_and_says_that_openvino_computed(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", content=cat(), headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["label"] == "cat"
    model = client.get("/v1/model").json()
    assert (model["engine"], model["device"]) == ("openvino", "cpu")
    metrics = client.get("/metrics").text
    assert re.search(r'^vit_model_info{.*engine="openvino".*} 1', metrics, re.MULTILINE)
    rates = re.findall(r"^vit_model_candidate_images_per_second{(.*)} \d", metrics, re.MULTILINE)
    assert ['engine="openvino"' in rate for rate in rates if 'chosen="true"' in rate] == [True]


def test_it_answers_a_form_that_does_not_fit_into_memory_buffers(client: httpx.Client) -> None:
    large = picture(side_px=1024)
    assert len(large) > 2**20  # from here on, form parsers like to write a file
    answer = client.post("/v1/classify", files={"image": large})
    assert answer.status_code == 200, answer.text


def test_nobody_in_it_is_root(container: str, client: httpx.Client) -> None:
    everyone = docker("exec", container, "python", "-c", "import os; print(os.getresuid(), os.getresgid())")
    assert everyone == "(10001, 10001, 10001) (10001, 10001, 10001)"
    owners = docker("top", container, "-eo", "pid,uid,args").splitlines()[1:]
    assert owners
    assert all(line.split()[1] == "10001" for line in owners)


def test_the_health_check_sees_that_it_is_ready(container: str, client: httpx.Client) -> None:
    wait_until(lambda: inspect(container)["State"]["Health"]["Status"] == "healthy", container, "healthy")


def test_the_image_holds_no_tests_and_nothing_left_over_from_its_build(image: str) -> None:
    unwanted = [
        "/build",
        "/root/.cache",
        "/tmp/*",
        "/app",
        f"{PACKAGES}/tests",
        f"{PACKAGES}/pytest",
        f"{PACKAGES}/mypy",
        f"{PACKAGES}/openvino_telemetry*",
        f"{PACKAGES}/pip",
        "/opt/pip",
    ]
    assert python(image, f"import glob; print(sum(map(glob.glob, {unwanted}), []))", "--user=0") == "[]"


def test_what_is_installed_is_what_is_locked_and_lacks_nothing_that_it_asks_for(image: str, target: str) -> None:
    script = """
from importlib.metadata import distributions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
have = {canonicalize_name(each.name): each for each in distributions()}
for each in have.values():
    print(canonicalize_name(each.name), each.version)
    for need in map(Requirement, each.requires or ()):
        there = have.get(canonicalize_name(need.name))
        if (not need.marker or need.marker.evaluate({"extra": ""})) and not (there and there.version in need.specifier):
            print("lacks", each.name, need)
"""
    lines = python(image, script).splitlines()
    locks = ("runtime",) if target == "openvino" else ("runtime", "torch", "torch-cpu")
    locked = "".join((DEPLOY / f"locks/{name}.txt").read_text() for name in locks)
    versions = {f"{name} {version}" for name, version in re.findall(r"^(\S+)==(\S+)", locked, re.MULTILINE)}
    lacking = [line for line in lines if line.startswith("lacks")]
    # the service itself, which in this image is told to do without torch; and what the Dockerfile's author left out
    allowed = ("openvino openvino-telemetry", *(("vit-serve torch",) if target == "openvino" else ()))
    assert [line for line in lacking if not line.removeprefix("lacks ").startswith(allowed)] == []
    assert set(lines) - set(lacking) == versions | {"vit-serve 0.1.0"}


def test_only_the_full_image_has_torch_and_neither_has_telemetry(image: str, target: str) -> None:
    names = ["torch", "openvino", "openvino_telemetry"]
    script = f"from importlib.util import find_spec; print([n for n in {names} if find_spec(n)])"
    assert python(image, script) == str(["torch", "openvino"] if target == "torch" else ["openvino"])
    if target == "torch":
        (pinned,) = re.findall(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
        assert python(image, "import torch; print(torch.__version__)") == f"{pinned}+cpu"


def test_nothing_is_exported_at_the_start_and_where_the_cache_is_a_volume_nothing_is_measured_again(
    image: str, target: str
) -> None:
    with volume() as cache:
        for first in (True, False):
            with started(image, f"--memory={MEMORY[target]}", f"--volume={cache}:/var/cache/vit-serve") as name:
                with client_of(name) as client:
                    assert client.get("/v1/model").json()["engine"] == "openvino"
                    log = docker("logs", name)
                assert "exporting" not in log
                assert "WARNING" not in log
                assert ("measuring torch" in log) == (first and target == "torch")


def test_the_images_share_all_layers_but_torchs_and_these_are_their_sizes(
    images: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = base_image().partition("@")[0]
    about = {name: inspect(name) for name in (base, *images.values())}
    sizes = {name: each["Size"] / 1e6 for name, each in about.items()}
    with capsys.disabled():
        sys.stdout.write("".join(f"\n{name}: {megabytes:.0f} MB" for name, megabytes in sizes.items()) + "\n")
    layers = {name: set(each["RootFS"]["Layers"]) for name, each in about.items()}
    small, large = images["openvino"], images["torch"]
    assert layers[base] < layers[small]
    assert len(layers[large] - layers[small]) <= 2  # torch's; and the service's, should it count as another on top
    assert sizes[small] - sizes[base] < 520
    assert sizes[large] - sizes[small] < 850


def test_what_the_init_container_of_kubernetes_builds_is_served_without_torch(images: dict[str, str]) -> None:
    """The command of the component, twice, as the kubelet may start it again; the model alone is another, of no hub."""
    patch = yaml.safe_load((DEPLOY / "kubernetes/components/model-from-hub/deployment.yaml").read_text())
    pod = patch["spec"]["template"]["spec"]
    (build,), (serve,) = pod["initContainers"], pod["containers"]
    (mount,) = (each["mountPath"] for each in build["volumeMounts"] if each["name"] == "models")
    variables = {each["name"]: each["value"] for each in build["env"] if "value" in each}  # without the hub's token
    variables["MODEL"] = "random:vit_pico_patch4_32"
    entrypoint, *arguments = build["command"]
    with volume() as models:
        mounted = f"--volume={models}:{mount}"
        python(images["torch"], f"import os; os.chmod('{mount}', 0o777)", mounted, "--user=0")  # as Kubernetes' are
        options = ["--memory=3g", "--tmpfs=/tmp:size=64m", mounted, *(f"--env={k}={v}" for k, v in variables.items())]
        run = ("run", "--rm", *LOCKED_IN, *options, f"--entrypoint={entrypoint}", images["torch"], *arguments)
        assert "written to" in docker(*run, timeout_s=120)
        assert docker(*run) == ""
        served = [f"--env={each['name']}={each['value']}" for each in serve["env"]]
        with started(images["openvino"], "--memory=512m", f"{mounted}:ro", *served) as name, client_of(name) as client:
            assert client.post("/v1/classify", content=cat()).status_code == 200
            assert client.get("/v1/model").json()["engine"] == "openvino"


def test_sigterm_ends_it_with_0_and_nothing_went_wrong(container: str, client: httpx.Client) -> None:
    docker("kill", "--signal=TERM", container)
    assert docker("wait", container, timeout_s=40) == "0"
    log = docker("logs", container)
    assert "Traceback" not in log
    assert "Warning" not in log


def compose() -> list[str]:
    """Compose as a plugin of docker, or the older program of its own."""
    if subprocess.run([tool("docker"), "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [tool("docker"), "compose"]
    return [tool("docker-compose")]


def test_compose_understands_its_file() -> None:
    config = yaml.safe_load(output(*compose(), "config", env={"PORT": "8123", "BIND": "0.0.0.0", "MODELS": "/srv"}))
    assert set(config["services"]) == {"vit-serve", "prometheus", "alertmanager", "grafana"}
    (port,) = config["services"]["vit-serve"]["ports"]
    assert str(port["published"] if isinstance(port, dict) else port.split(":")[-2]) == "8123"
    models, cache = config["services"]["vit-serve"]["volumes"]
    if isinstance(models, str):  # the older program's
        assert models == "/srv:/models:ro"
        assert cache.split(":")[1] == "/var/cache/vit-serve"
    else:
        assert cache["target"] == "/var/cache/vit-serve"
        assert (models["source"], models["target"], models["read_only"]) == ("/srv", "/models", True)


def test_compose_takes_the_image_without_torch_unless_another_is_asked_for() -> None:
    for target in TARGETS:
        env = {} if target == TARGETS[0] else {"TARGET": target}
        service = yaml.safe_load(output(*compose(), "config", env=env))["services"]["vit-serve"]
        assert (service["image"], service["build"]["target"]) == (f"vit-serve:{target}", target)


def test_compose_gives_the_service_a_gpu_and_torchs_cuda_build() -> None:
    files = ("-f", "docker-compose.yml", "-f", "deploy/docker-compose.gpu.yml")
    service = yaml.safe_load(output(*compose(), *files, "config"))["services"]["vit-serve"]
    assert (service["image"], service["build"]["target"]) == ("vit-serve:cuda", "torch")
    assert service["build"]["args"] == {"TORCH": "cuda"}
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert (service["environment"]["VIT_DEVICE"], service["read_only"]) == ("cuda", True)


def test_compose_starts_the_service_locked_in_and_stops_it(images: dict[str, str]) -> None:
    project = [*compose(), "--project-name", "vit-serve-test"]
    env = {"IMAGE": IMAGE, "PORT": "0"}
    try:
        output(*project, "up", "--detach", "--no-build", "--no-deps", "vit-serve", env=env, timeout_s=120)
        container = output(*project, "ps", "--quiet", "vit-serve", env=env).split()[-1]
        with client_of(container) as client:
            assert client.post("/v1/classify", content=picture()).status_code == 200
        assert inspect(container)["Config"]["Image"] == images["openvino"]
        assert "WARNING" not in docker("logs", container)  # which a cache that cannot be written would bring
        host = inspect(container)["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"] == 2 * 2**30
        output(*project, "stop", "vit-serve", env=env)
        assert inspect(container)["State"]["ExitCode"] == 0
    finally:
        output(*project, "down", "--volumes", env=env)
