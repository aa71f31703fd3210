"""Owns the Ray Serve application as deploy/ray/config.yaml has it, on a real cluster; does not load it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.errors import SetupError
from app.settings import Settings
from tests.distributed.conftest import started
from tests.distributed.pictures import png

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300), pytest.mark.usefixtures("ray")]
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "ray" / "config.yaml"
PORT = 18431


@pytest.fixture(scope="module")
def served(ray: Any, session_cluster: Any, bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the application, run by `serve run` from the file, with a small model and one core."""
    config = yaml.safe_load(CONFIG.read_text())
    application = config["applications"][0]
    application["args"] |= {"model": str(bare), "engine": "torch", "threads": 1}
    application["deployments"][0]["ray_actor_options"]["num_cpus"] = 1
    config["http_options"] |= {"host": "127.0.0.1", "port": PORT}
    config["proxy_location"] = "HeadOnly"
    file = tmp_path_factory.mktemp("serve") / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    while len(session_cluster.worker_nodes) < 1:
        started(lambda: session_cluster.add_node(num_cpus=1))
    command = [sys.executable, "-m", "ray.serve.scripts", "run", str(file), "--address", session_cluster.address]
    log = file.with_suffix(".log")
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        url = f"http://127.0.0.1:{PORT}"
        until = time.monotonic() + 200
        while not answers(url):
            assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.5)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_answers_as_our_service_does(served: str) -> None:
    answer = httpx.post(f"{served}/v1/classify?top_k=2", content=png(1), timeout=60)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 2
    assert answer.headers["x-request-id"]
    bad = httpx.post(f"{served}/v1/classify", content=b"no picture", timeout=60)
    assert (bad.status_code, bad.json()["code"]) == (415, "not_an_image")
    assert httpx.get(f"{served}/readyz", timeout=60).status_code == 200
    assert httpx.get(f"{served}/v1/model", timeout=60).json()["engine"] == "torch"


def test_its_times_and_limits_fit_together() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    application = config["applications"][0]
    deployment, asked = application["deployments"][0], application["args"]
    longest_s = Settings().request_timeout_ms / 1000
    assert min(deployment["graceful_shutdown_timeout_s"], config["http_options"]["request_timeout_s"]) > longest_s
    two_batches = 2 * 8  # of a CPU
    assert two_batches <= deployment["autoscaling_config"]["target_ongoing_requests"]
    assert deployment["autoscaling_config"]["target_ongoing_requests"] < deployment["max_ongoing_requests"]
    assert deployment["max_ongoing_requests"] < Settings().slots
    assert deployment["ray_actor_options"]["num_cpus"] == asked["threads"]


@pytest.mark.parametrize(
    ("args", "message"),
    [({"modell": "x"}, "there is no setting 'modell'"), ({"slots": "many"}, "slots is 'many'")],
)
def test_a_setting_that_is_none_is_told(args: dict[str, Any], message: str) -> None:
    from app.distributed.service import build

    with pytest.raises(SetupError, match=message):
        build(args)
