"""Owns the proof that the image runs, locked in, answers and stops, alone and under compose; does not judge answers."""

import io
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from tests.deploy.tools import docker, output, tool

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]  # the first of them waits for the build


def picture(side_px: int = 64) -> bytes:
    """Noise as a PNG, so that its size in bytes is about that of its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows about a container."""
    (about,) = json.loads(docker("inspect", container))
    assert isinstance(about, dict)
    return about


def wait_until(happened: Callable[[], bool], container: str, what: str) -> None:
    """Fails with the container's log if it ends first, or does not come within a minute."""
    until = time.monotonic() + 60
    while not happened():
        if time.monotonic() > until or not inspect(container)["State"]["Running"]:
            pytest.fail(f"the container is not {what}:\n{docker('logs', container)[-4000:]}")
        time.sleep(0.2)


@contextmanager
def client_of(container: str) -> Iterator[httpx.Client]:
    """A client of the port that the engine chose, once the service is ready."""
    ((binding,),) = (bound for bound in inspect(container)["NetworkSettings"]["Ports"].values() if bound)
    with httpx.Client(base_url=f"http://127.0.0.1:{binding['HostPort']}", trust_env=False) as client:

        def ready() -> bool:
            try:
                return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(ready, container, "ready")
        yield client


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[str]:
    """A container that may write nowhere, not even to /tmp, and do nothing that root might."""
    locked_in = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=2g"]
    name = docker("run", "--detach", "--publish=127.0.0.1::8000", *locked_in, image)
    try:
        yield name
    finally:
        docker("rm", "--force", name)


@pytest.fixture(scope="module")
def client(container: str) -> Iterator[httpx.Client]:
    with client_of(container) as client:
        yield client


def test_it_answers_a_picture(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", content=picture(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 5
    assert "notice" not in answer.json()  # which random weights or no model would bring


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
    packages = "/opt/vit-serve/lib/python3.11/site-packages"
    unwanted = [
        "/build",
        "/root/.cache",
        "/tmp/*",
        "/app",
        f"{packages}/tests",
        f"{packages}/pytest",
        f"{packages}/mypy",
    ]
    script = f"import glob; print(sum(map(glob.glob, {unwanted}), []), len(glob.glob('{packages}/torch')))"
    assert docker("run", "--rm", "--user=0", "--entrypoint=python", image, "-c", script) == "[] 1"


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
    assert set(config["services"]) == {"vit-serve", "prometheus"}
    (port,) = config["services"]["vit-serve"]["ports"]
    assert str(port["published"] if isinstance(port, dict) else port.split(":")[-2]) == "8123"
    (models,) = config["services"]["vit-serve"]["volumes"]
    if isinstance(models, str):  # the older program's
        assert models == "/srv:/models:ro"
    else:
        assert (models["source"], models["target"], models["read_only"]) == ("/srv", "/models", True)


def test_compose_gives_the_service_a_gpu() -> None:
    files = ("-f", "docker-compose.yml", "-f", "deploy/docker-compose.gpu.yml")
    service = yaml.safe_load(output(*compose(), *files, "config"))["services"]["vit-serve"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert (service["environment"]["VIT_DEVICE"], service["read_only"]) == ("cuda", True)


def test_compose_starts_the_service_locked_in_and_stops_it(image: str) -> None:
    project = [*compose(), "--project-name", "vit-serve-test"]
    env = {"IMAGE": image, "PORT": "0"}
    try:
        output(*project, "up", "--detach", "--no-build", "--no-deps", "vit-serve", env=env, timeout_s=120)
        container = output(*project, "ps", "--quiet", "vit-serve", env=env).split()[-1]
        with client_of(container) as client:
            assert client.post("/v1/classify", content=picture()).status_code == 200
        host = inspect(container)["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"] == 2 * 2**30
        output(*project, "stop", "vit-serve", env=env)
        assert inspect(container)["State"]["ExitCode"] == 0
    finally:
        output(*project, "down", "--volumes", env=env)
