"""The Open Inference Protocol by its own clients, unmodified, in their own environment; `make clients-check`."""

import io
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.domain import PreprocessSpec
from app.imaging.price import DecodeLimits
from app.imaging.resample import preprocess
from tests.benchmark.options import ROOT
from tests.benchmark.server import Server, running, service

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]
PYTHON = ROOT / ".venv/clients/bin/python"
CLOSE = 2e-3  # bfloat16 where the machine computes in it


class Served(NamedTuple):
    """A server of the embedded model, a photograph, and what it says of that by its own contract, by class."""

    server: Server
    grpc_port: int
    model: str
    scores: dict[int, float]
    photo: Path
    arrays: Path  # the same photograph as the network sees it, `pixels` and `pixel_values`


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("oip")
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.chelsea()).save(buffer, "JPEG", quality=95)
    (folder / "cat.jpg").write_bytes(buffer.getvalue())
    grpc_port = free_port()
    command = [*service("embedded"), "--grpc-port", str(grpc_port)]
    with running(command, folder / "log") as server:
        info = server.get_json("/v1/model")
        spec = PreprocessSpec(**info["preprocess"])
        pixels = np.empty((spec.height, spec.width, 3), np.uint8)
        preprocess(buffer.getvalue(), spec, DecodeLimits(10**9, 10**9, False, True, True), pixels)
        values = ((pixels / 255 - spec.mean) / spec.std).astype(np.float32).transpose(2, 0, 1)
        np.savez(folder / "arrays.npz", pixels=pixels[None], pixel_values=values[None])
        answer = server.post_image(f"/v1/classify?top_k={len(info['labels'])}", buffer.getvalue())
        scores = {each["index"]: each["score"] for each in answer["predictions"]}
        yield Served(server, grpc_port, info["name"], scores, folder / "cat.jpg", folder / "arrays.npz")


def ask(script: str, served: Served, port: int | None = None) -> list[Any]:
    """What the script, run by the clients' own Python, prints: a JSON document a line."""
    assert PYTHON.exists(), "make clients-check installs the clients"
    url = f"127.0.0.1:{port or served.server.port}"
    command: list[Any] = [PYTHON, Path(__file__).with_name(script), url, served.model, served.photo, served.arrays]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def expected(served: Served) -> list[Any]:
    return [[pytest.approx(served.scores[index], abs=CLOSE) for index in sorted(served.scores)]]


def test_tritonclient_over_http(served: Served) -> None:
    synchronous, asynchronous = ask("triton.py", served)
    told, found, errors = synchronous["told"], synchronous["infer"], synchronous["errors"]
    assert (told["live"], told["ready"], told["model_ready"], told["version_ready"]) == (True,) * 4
    assert not told["other_ready"]
    assert told["server"]["name"] == "vit-serve"
    assert told["model"]["name"] == told["config"]["name"] == served.model
    assert told["stats"]["model_stats"][0]["inference_count"] >= 1
    assert told["every_stats"] == told["stats"]

    assert found.pop("id") == "a-1"
    assert found.pop("logits") == [2, 10]
    for best in found.pop("best"):
        parts = [each.split(":") for each in best]
        assert [int(index) for _, index, _ in parts] == sorted(served.scores, key=lambda at: -served.scores[at])[:3]
        assert [float(score) for score, *_ in parts] == pytest.approx(sorted(served.scores.values())[:-4:-1], abs=CLOSE)
    assert len(found) == 9
    assert found == dict.fromkeys(found, expected(served))
    assert asynchronous == [expected(served)] * 4

    statuses = {name: status for name, (status, _) in errors.items()}
    bad = dict.fromkeys(("unknown input", "unknown output", "shared memory"), "400")
    assert statuses == {
        **bad,
        **dict.fromkeys(("unknown model", "unknown version"), "404"),
        "no image": "415",
        "too many": "413",
    }
    assert "no input 'images'" in errors["unknown input"][1]


def test_kserve_by_v2(served: Served) -> None:
    (found,) = ask("kserve_v2.py", served)
    assert (found.pop("live"), found.pop("ready"), found.pop("model_ready")) == (True,) * 3
    assert found.pop("id") == "k-1"
    assert "there is no input 'images'" in found.pop("error")
    assert len(found) == 8
    assert found == dict.fromkeys(found, expected(served))


def test_tritonclient_over_grpc(served: Served) -> None:
    (document,) = ask("triton_grpc.py", served, served.grpc_port)
    told, found, errors = document["told"], document["infer"], document["errors"]
    assert (told["live"], told["ready"], told["model_ready"]) == (True,) * 3
    assert (told["server"]["name"], told["model"]["name"]) == ("vit-serve", served.model)
    assert found.pop("id") == "t-1"
    best = sorted(served.scores, key=lambda at: -served.scores[at])[:3]
    assert [int(each.split(":")[1]) for each in found.pop("best")] == best
    assert len(found) == 4
    assert found == dict.fromkeys(found, expected(served))
    assert document["async"] == [expected(served)] * 4
    assert {name: status for name, (status, _) in errors.items()} == {
        "unknown model": "StatusCode.NOT_FOUND",
        "unknown input": "StatusCode.INVALID_ARGUMENT",
        "no image": "StatusCode.INVALID_ARGUMENT",
        "not there": "StatusCode.UNIMPLEMENTED",
    }


def test_kserve_by_v2_over_grpc(served: Served) -> None:
    (found,) = ask("kserve_grpc.py", served, served.grpc_port)
    assert (found.pop("live"), found.pop("ready"), found.pop("model_ready")) == (True,) * 3
    assert found.pop("id") == "g-1"
    assert found.pop("error")[0] == "INVALID_ARGUMENT"
    assert len(found) == 5
    assert found == dict.fromkeys(found, expected(served))
