"""Owns the proof of an operator's container: any user, no shell, limits, drain, restart; does not build images."""

import http.client
import json
import math
import os
import time
from collections.abc import Iterator

import pytest

from tests.deploy.containers import cat, client_of, inspect, python, started, wait_until
from tests.deploy.tools import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]  # the first of them waits for the build
LIMITS = ("--user=65532", "--memory=2g", "--cpus=1.5")


@pytest.fixture
def container(image: str) -> Iterator[str]:
    with started(image, *LIMITS) as name:
        yield name


def test_it_runs_as_a_user_that_the_image_does_not_know(container: str) -> None:
    with client_of(container) as client:
        answer = client.post("/v1/classify", content=cat(), headers={"Content-Type": "image/jpeg"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["label"] == "cat"
    owners = docker("top", container, "-eo", "pid,uid,args").splitlines()[1:]
    assert {line.split()[1] for line in owners} == {"65532"}
    warnings = [line for line in docker("logs", container).splitlines() if "WARNING" in line or "Traceback" in line]
    assert len(warnings) == 1
    assert "the choice of an engine cannot be kept" in warnings[0]  # as there is no volume


def test_the_limits_are_seen_without_settings(image: str) -> None:
    script = "from app.engine.allowance import *; print(allowed_cores(), allowed_memory_bytes())"
    for cpus in (0.5, 1.5):
        seen = python(image, script, *LIMITS[:2], f"--cpus={cpus}")
        assert seen == f"{min(math.ceil(cpus), os.cpu_count() or 1)} {2 * 2**30}"
    assert python(image, script, "--memory=512m").split()[1] == str(2**29)


def test_half_a_core_is_one_lane(images: dict[str, str]) -> None:
    with started(images["openvino"], *LIMITS[:2], "--cpus=0.5") as name, client_of(name) as client:
        lines = client.get("/metrics").text.splitlines()
        lanes = [line for line in lines if line.startswith("vit_model_candidate_images_per_second{")]
        assert lanes
        assert all('lanes="1"' in line for line in lanes)


def test_requests_that_are_under_way_when_it_is_told_to_stop_are_answered(container: str) -> None:
    body = cat()
    with client_of(container) as client:
        connections = [http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0) for _ in range(8)]
        for connection in connections:
            connection.putrequest("POST", "/v1/classify")
            connection.putheader("Content-Type", "image/jpeg")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[: len(body) // 2])
        time.sleep(0.5)  # so that each has begun
        docker("kill", "--signal=TERM", container)
        time.sleep(0.5)
        assert inspect(container)["State"]["Running"]
        for connection in connections:
            connection.send(body[len(body) // 2 :])
        answers = [connection.getresponse() for connection in connections]
        assert [answer.status for answer in answers] == [200] * len(connections)
        assert all(json.load(answer)["predictions"][0]["label"] == "cat" for answer in answers)
    assert docker("wait", container, timeout_s=40) == "0"
    assert "Traceback" not in docker("logs", container)


def test_it_serves_again_after_a_restart(container: str) -> None:
    with client_of(container):
        began = inspect(container)["State"]["StartedAt"]
    docker("restart", "--time=30", container)
    state = inspect(container)["State"]
    assert state["StartedAt"] > began
    with client_of(container) as client:
        assert client.post("/v1/classify", content=cat()).status_code == 200
    docker("stop", "--time=30", container)
    state = inspect(container)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert inspect(container)["Config"]["StopSignal"] == "SIGTERM"


def test_neither_the_service_nor_its_health_check_needs_a_shell(images: dict[str, str]) -> None:
    shells = [f"--volume=/dev/null:/usr/bin/{shell}:ro" for shell in ("dash", "bash")]  # /bin/sh is the first
    with started(images["openvino"], *LIMITS, *shells) as name, client_of(name) as client:
        assert client.post("/v1/classify", content=cat()).status_code == 200
        with pytest.raises(AssertionError, match="(?i)permission denied|exec"):
            docker("exec", name, "sh", "-c", "true")
        wait_until(lambda: inspect(name)["State"]["Health"]["Status"] == "healthy", name, "healthy")


def test_a_health_check_costs_next_to_nothing(images: dict[str, str]) -> None:
    """In CPU time, which others on the machine hardly change: a Python that asks took 56 ms."""
    script = (
        "import os, subprocess as s; [s.run(['health-check'], stdout=s.DEVNULL) for _ in range(20)]; "
        "print((os.times().children_user + os.times().children_system) / 20)"
    )
    assert float(python(images["openvino"], script)) < 0.01
