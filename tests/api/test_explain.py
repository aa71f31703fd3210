"""Owns the tests of api/routes/explain.py and api/explanation.py."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.api.schemas_inside import ExplainManyOut, ExplainOut
from tests.api.conftest import MODEL, picture, service
from tests.api.test_classify import b64, check_error
from tests.training.pictures import png

URL = "/v1/explain"
RED, BLUE = picture((250, 0, 0)), picture((0, 0, 250), "JPEG")
NOISE = png(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def body(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    ExplainOut.model_validate(found)
    return found


async def test_the_rollout_is_a_share_of_each_patch() -> None:
    async with service() as s:
        told = body(await s.client.post(URL, content=NOISE))
        grid = np.array(told["grid"])
        assert (told["model"], told["method"]) == (MODEL, "rollout")
        assert grid.shape == (told["rows"], told["columns"]) == (8, 8)
        assert grid.min() > 0 and 0.5 < grid.sum() < 1
        classified = (await s.client.post("/v1/classify", content=NOISE)).json()
        assert [p["index"] for p in told["predictions"]] == [p["index"] for p in classified["predictions"]]
        assert told["timing_ms"]["total"] >= told["timing_ms"]["inference"] > 0
        ours = await s.classifier.explain(NOISE)
        assert ours.maps[0] == pytest.approx(grid, abs=1e-5)
        assert ours.seen.shape == (32, 32, 3)


async def test_attention_is_of_a_layer_and_of_each_head_or_one() -> None:
    async with service() as s:
        last = body(await s.client.post(URL, content=NOISE, params={"method": "attention"}))
        heads = np.array(last["heads"])
        assert last["layer"] == 3 and heads.shape == (2, 8, 8)
        assert heads.mean(axis=0) == pytest.approx(np.array(last["grid"]), abs=1e-5)
        one = body(await s.client.post(URL, content=NOISE, params={"method": "attention", "head": 1, "layer": 3}))
        assert one["head"] == 1 and "heads" not in one
        assert np.array(one["grid"]) == pytest.approx(heads[1], abs=1e-5)
        first = body(await s.client.post(URL, content=NOISE, params={"method": "attention", "layer": 0}))
        assert np.abs(np.array(first["grid"]) - np.array(last["grid"])).max() > 1e-6


async def test_several_are_answered_each() -> None:
    async with service() as s:
        answer = await s.client.post(URL, json={"images": [b64(RED), b64(b"no picture"), b64(BLUE)]})
        assert answer.status_code == 200
        ExplainManyOut.model_validate(answer.json())
        one, bad, other = answer.json()["results"]
        assert bad["code"] == "not_an_image" and one["rows"] == other["rows"] == 8


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/png", "image/png"),
        ("text/html,image/avif,image/webp,*/*;q=0.8", "image/png"),
        ("application/json, image/png", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
async def test_the_form_is_what_the_client_prefers(accept: str, kind: str) -> None:
    async with service() as s:
        answer = await s.client.post(URL, content=NOISE, headers={"Accept": accept})
        assert answer.status_code == 200 and answer.headers["content-type"] == kind


async def test_a_png_is_what_the_model_saw_under_a_heat_map() -> None:
    async with service() as s:
        answer = await s.client.post(URL, content=NOISE, params={"format": "png", "method": "attention", "head": 0})
        drawn = Image.open(io.BytesIO(answer.content))
        assert (drawn.format, drawn.size) == ("PNG", (32, 32))
        seen = (await s.classifier.explain(NOISE)).seen
        assert np.asarray(drawn).shape == seen.shape and np.abs(np.asarray(drawn) - seen.astype(float)).mean() > 5
        check_error(await s.client.post(URL, content=b"x", params={"format": "png"}), 415, "not_an_image")


@pytest.mark.parametrize(
    "query",
    [
        "method=saliency",
        "method=",
        "layer=0",
        "method=attention&layer=4",
        "class=3",
        "layer=-1",
        "layer=x",
        "method=attention&head=2",
        "head=0",
        "class=10",
        "format=gif",
        "top_k=1",
        "x=" + "n" * 2000,
    ],
)
async def test_bad_options_are_refused_before_the_body(query: str) -> None:
    async with service() as s:
        answer = await s.client.post(f"{URL}?{query}", content=RED)
        assert answer.status_code == 422 and answer.json()["code"] in ("unknown_parameter", "invalid_parameter")
        assert not s.classifier.inside._paths  # nothing was made for it


async def test_a_png_is_of_one_image() -> None:
    async with service() as s:
        two = await s.client.post(URL, files=[("image", RED), ("image", BLUE)], params={"format": "png"})
        check_error(two, 422, "invalid_parameter")


@pytest.mark.parametrize("content", [b"", b"hello", b"{", RED[:-40], b"[" * 100_000])
async def test_hostile_bodies_are_refused_as_by_classify(content: bytes) -> None:
    async with service() as s:
        one, other = [await s.client.post(url, content=content) for url in (URL, "/v1/classify")]
        assert (one.status_code, one.json()["code"]) == (other.status_code, other.json()["code"])


async def test_gradients_are_torchs_alone() -> None:
    async with service(engine="openvino") as s:
        answer = await s.client.post(URL, content=RED, params={"method": "gradient"})
        check_error(answer, 501, "not_supported")
        assert "torch" in answer.json()["error"]
        openvino = body(await s.client.post(URL, content=NOISE))
        assert (await s.client.get("/v1/model")).json()["capabilities"]["explain"] == ["rollout", "attention"]
    async with service(engine="torch") as s:
        assert (await s.client.get("/v1/model")).json()["capabilities"] == {
            **{"embeddings": True, "embedding_width": 128, "explain": ["rollout", "attention", "gradient"]},
            **{"grid": [8, 8], "layers": 4, "heads": 2},
        }
        best = body(await s.client.post(URL, content=NOISE, params={"method": "gradient"}))
        assert best["class"] == best["predictions"][0]["index"] and np.array(best["grid"]).min() >= 0
        other = body(await s.client.post(URL, content=NOISE, params={"method": "gradient", "class": 9}))
        assert other["class"] == 9
        torch = body(await s.client.post(URL, content=NOISE))
        assert np.array(torch["grid"]) == pytest.approx(np.array(openvino["grid"]), abs=1e-4)
