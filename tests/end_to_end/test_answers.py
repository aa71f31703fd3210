import asyncio
import io
import random
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from app import Settings, open_classifier
from tests.benchmark.server import Server, running, service
from tests.deploy.tools import tool


def test_a_photograph_of_a_cat_is_a_cat(embedded: Server, cat: bytes, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(cat)
    url = f"localhost:{embedded.port}/v1/classify?top_k=3"
    command = [tool("curl"), "-sf", "--data-binary", f"@{photo}", "-H", "Content-Type: image/jpeg", url]
    answer = httpx.Response(200, content=subprocess.run(command, check=True, capture_output=True).stdout).json()
    assert [p["label"] for p in answer["predictions"]][0] == "cat"
    assert len(answer["predictions"]) == 3
    assert "notice" not in answer


def test_the_embedded_model_is_the_one_in_the_package(embedded: Server) -> None:
    model = embedded.get_json("/v1/model")
    assert model["name"] == "vit_nano_lite0_s32_128.cifar10"
    assert model["labels"][3] == "cat"
    assert len(model["sha256"]) == 64


def pictures(count: int) -> list[bytes]:
    """Pictures no two of which are alike, half of them JPEG."""
    generator = np.random.default_rng(5)
    made = []
    for i in range(count):
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        image = Image.fromarray(coarse).resize((48 + i % 17, 40 + i % 13), Image.Resampling.BICUBIC)
        image.save(buffer, "JPEG" if i % 2 else "PNG")
        made.append(buffer.getvalue())
    return made


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
async def test_every_device_answers_like_float32_on_the_cpu(tmp_path: Path, device: str) -> None:
    bodies = pictures(24)
    command = [*service("embedded"), "--device", device, "--precision", "float32"]
    with running(command, tmp_path / "log") as server:
        assert server.get_json("/v1/model")["device"].startswith(device)
        async with httpx.AsyncClient(timeout=60) as client:
            url = f"http://127.0.0.1:{server.port}/v1/classify"
            answers = await asyncio.gather(*(client.post(url, content=body, params={"top_k": 10}) for body in bodies))
    async with open_classifier(Settings(device="cpu", precision="float32")) as classifier:
        await classifier.ready()
        for body, answer in zip(bodies, answers, strict=True):
            expected = {p.label: p.score for p in (await classifier.classify(body, top_k=10)).predictions}
            got = {p["label"]: p["score"] for p in answer.json()["predictions"]}
            assert got == pytest.approx(expected, abs=1e-3)


async def test_hundreds_of_clients_some_of_whom_leave(embedded: Server) -> None:
    url = f"http://127.0.0.1:{embedded.port}/v1/classify"
    bodies = pictures(300)
    chance = random.Random(1)
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        alone = [(await client.post(url, content=body, params={"top_k": 10})).json() for body in bodies]

        async def one(i: int) -> None:
            top_k = 1 + i % 10
            asked = client.post(url, content=bodies[i], params={"top_k": top_k})
            if chance.random() < 0.3:
                with pytest.raises((TimeoutError, httpx.HTTPError)):
                    await asyncio.wait_for(asked, chance.random() * 0.02)
                    raise TimeoutError  # it was quicker than its client's patience
                return
            answer = await asked
            assert answer.status_code == 200, answer.text
            got = answer.json()["predictions"]
            assert len(got) == top_k
            scores = {p["index"]: p["score"] for p in alone[i]["predictions"]}
            for prediction in got:
                assert prediction["score"] == pytest.approx(scores[prediction["index"]], abs=0.05)

        await asyncio.gather(*(one(i) for i in range(300)))
    for _ in range(100):
        counters = embedded.counters()
        if counters["vit_slots_in_use"] == counters["vit_queue_depth"] == 0:
            break
        await asyncio.sleep(0.05)
    assert counters["vit_slots_in_use"] == counters["vit_queue_depth"] == 0
    assert embedded.post_image("/v1/classify", bodies[0])["predictions"][0] == alone[0]["predictions"][0]


def test_the_command_line_says_the_same(cat: bytes, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(cat)
    program = shutil.which("vit-serve", path=str(Path(sys.executable).parent))
    assert program
    done = subprocess.run(
        [program, "classify", str(photo), "--format", "csv"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1].split(",")[1:3] == ["1", "cat"]
