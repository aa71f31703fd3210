"""What those contracts answer of which the usual client is curl: TorchServe, TensorFlow Serving, SageMaker, Vertex."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.server import Server, running, service
from tests.deploy.tools import tool
from tests.end_to_end.conftest import cat as cat

pytestmark = pytest.mark.operations

EVERY = '["kserve", "torchserve", "sagemaker", "vertex"]'
VERTEX = {"AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2", "AIP_PREDICT_ROUTE": "/v1/endpoints/1:predict"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = [*service("embedded"), "--protocols", EVERY, "--model-aliases", '["densenet161"]']
    with running(command, tmp_path_factory.mktemp("server") / "log", environment=VERTEX) as running_server:
        yield running_server


@pytest.fixture
def photo(tmp_path: Path, cat: bytes) -> Path:
    (tmp_path / "cat.jpg").write_bytes(cat)
    instance = {"b64": base64.b64encode(cat).decode()}
    (tmp_path / "instances.json").write_text(json.dumps({"instances": [instance]}))
    return tmp_path / "cat.jpg"


def curl(server: Server, photo: Path, *arguments: str) -> Any:
    *options, path = arguments
    command = [tool("curl"), "-s", "--fail-with-body", *options, f"http://127.0.0.1:{server.port}{path}"]
    done = subprocess.run(command, cwd=photo.parent, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("how", [("-T", "cat.jpg"), ("-F", "data=@cat.jpg"), ("--data-binary", "@cat.jpg")])
@pytest.mark.parametrize("path", ["/predictions/densenet161", "/predictions/densenet161/1.0"])
def test_torchserve(server: Server, photo: Path, how: tuple[str, str], path: str) -> None:
    answer = curl(server, photo, *how, path)
    assert next(iter(answer)) == "cat" and len(answer) == 5
    assert curl(server, photo, "/ping") == {"status": "Healthy"}
    assert "paths" in curl(server, photo, "-X", "OPTIONS", "/")


def test_tensorflow_serving(server: Server, photo: Path) -> None:
    for path in ("/v1/models/densenet161:predict", "/v1/models/densenet161/versions/1:predict"):
        [prediction] = curl(server, photo, "-d", "@instances.json", path)["predictions"]
        assert prediction["classes"][0] == "cat"
    assert curl(server, photo, "/v1/models/densenet161")["model_version_status"][0]["state"] == "AVAILABLE"


def test_sagemaker(server: Server, photo: Path) -> None:
    answer = curl(server, photo, "-H", "Content-Type: application/x-image", "--data-binary", "@cat.jpg", "/invocations")
    assert answer["predictions"][0]["label"] == "cat"


def test_vertex(server: Server, photo: Path) -> None:
    assert curl(server, photo, VERTEX["AIP_HEALTH_ROUTE"])["status"] == "ready"
    json_type = ("-H", "Content-Type: application/json")
    [prediction] = curl(server, photo, *json_type, "-d", "@instances.json", VERTEX["AIP_PREDICT_ROUTE"])["predictions"]
    assert prediction["classes"][0] == "cat"
