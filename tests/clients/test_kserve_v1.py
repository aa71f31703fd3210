"""What KServe's own client gets of its protocol v1, in a process with nothing of ours."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.benchmark.server import Server
from tests.deploy.tools import ROOT, missing
from tests.end_to_end.conftest import cat as cat
from tests.end_to_end.conftest import embedded as embedded

pytestmark = pytest.mark.clients
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
AS_ITS_USERS_WRITE = """
import asyncio, base64, json, sys
import httpx
from kserve import InferenceRESTClient, RESTConfig

async def main(url, model, path):
    client = InferenceRESTClient(RESTConfig(protocol="v1", timeout=30))
    image = {"b64": base64.b64encode(open(path, "rb").read()).decode()}
    told = {
        "live": await client.is_server_live(url),
        "ready": await client.is_model_ready(url, model),
        "answer": await client.infer(url, {"instances": [{"image_bytes": image}, image]}, model_name=model),
        "explained": await client.explain(url, model, {"instances": [image]}),
    }
    try:
        await client.is_model_ready(url, "resnet")
    except httpx.HTTPStatusError as error:
        told["unknown"] = str(error)
    print(json.dumps(told))

asyncio.run(main(*sys.argv[1:]))
"""


def test_its_calls_are_answered(embedded: Server, cat: bytes, tmp_path: Path) -> None:
    if not PYTHON.exists():
        missing("the clients are not installed: make clients-check")
    (tmp_path / "cat.jpg").write_bytes(cat)
    model = embedded.get_json("/v1/model")["name"]
    command = [PYTHON, "-c", AS_ITS_USERS_WRITE, f"http://127.0.0.1:{embedded.port}", model, str(tmp_path / "cat.jpg")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["live"] is True and told["ready"] is True
    first, second = told["answer"]["predictions"]
    assert first == second and first["classes"][0] == "cat" and first["scores"][0] > 0.9
    assert "there is no model 'resnet'" in told["unknown"] and "404" in told["unknown"]
    [explanation] = told["explained"]["explanations"]
    assert len(explanation["grid"]) == explanation["rows"]
