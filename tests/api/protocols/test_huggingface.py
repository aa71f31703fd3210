import base64
import math
from typing import Any

import pytest

from app.engine.client import Status
from tests.api.conftest import Service, picture, service

RED, BLUE = picture((250, 0, 0)), picture((0, 0, 250), "JPEG")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def classified(s: Service, image: bytes, top_k: int = 5) -> list[dict[str, Any]]:
    answer = (await s.client.post("/v1/classify", content=image, params={"top_k": top_k})).json()["predictions"]
    return [{"label": p["label"], "score": pytest.approx(p["score"], abs=1e-5)} for p in answer]


@pytest.mark.parametrize("url", ["/", "/models/google/vit-base-patch16-224", "/models/m"])
@pytest.mark.parametrize("kind", ["image/png", "application/json", "application/x-www-form-urlencoded", ""])
async def test_an_image_is_one_whatever_it_is_called(url: str, kind: str) -> None:
    async with service() as s:
        answer = await s.client.post(url, content=RED, headers={"Content-Type": kind, "Accept": "image/png"})
        assert answer.status_code == 200, answer.text
        assert answer.json() == await classified(s, RED)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": b64(RED), "parameters": {"top_k": 3}},
        {"inputs": b64(RED), "parameters": {"topK": 3, "functionToApply": "softmax"}},
        {"data": "data:image/png;base64," + b64(RED), "parameters": {"top_k": 3, "function_to_apply": None}},
    ],
)
async def test_json_in_either_spelling(body: dict[str, Any]) -> None:
    async with service() as s:
        assert (await s.client.post("/", json=body)).json() == await classified(s, RED, 3)


async def test_several_inputs_and_more_classes_than_there_are() -> None:
    async with service() as s:
        answer = await s.client.post("/", json={"inputs": [b64(RED), b64(BLUE)], "parameters": {"top_k": 50}})
        assert answer.json() == [await classified(s, RED, 10), await classified(s, BLUE, 10)]


async def test_the_function_is_applied_to_the_logits() -> None:
    async with service() as s:

        async def scores(function: str) -> dict[str, float]:
            parameters = {"function_to_apply": function, "top_k": 10}
            answer = (await s.client.post("/", json={"inputs": b64(RED), "parameters": parameters})).json()
            assert [each["score"] for each in answer] == sorted((each["score"] for each in answer), reverse=True)
            return {each["label"]: each["score"] for each in answer}

        logits, softmax, sigmoid = await scores("none"), await scores("softmax"), await scores("sigmoid")
        assert len(logits) == 10
        total = sum(map(math.exp, logits.values()))
        for label, logit in logits.items():
            assert softmax[label] == pytest.approx(math.exp(logit) / total, abs=1e-4)
            assert sigmoid[label] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-4)
        best = await s.client.post(
            "/", json={"inputs": b64(RED), "parameters": {"function_to_apply": "none", "top_k": 2}}
        )
        assert {each["label"] for each in best.json()} == set(list(logits)[:2])


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({"inputs": {"image": b64(RED)}}, 400, "inputs"),
        ({"image": b64(RED)}, 400, "inputs"),
        ([], 400, "inputs"),
        ({"inputs": []}, 400, "no image"),
        ({"inputs": [1]}, 400, "input 0 is int"),
        ({"inputs": "https://a.example/cat.jpg"}, 400, "not fetched"),
        ({"inputs": "%%%"}, 400, "input 0"),
        ({"inputs": [b64(RED)] * 33}, 413, "33 images"),
        ({"inputs": b64(RED), "parameters": [1]}, 400, "parameters"),
        ({"inputs": b64(RED), "parameters": {"top_k": 0}}, 422, "top_k"),
        ({"inputs": b64(RED), "parameters": {"function_to_apply": "tanh"}}, 400, "tanh"),
        ({"inputs": b64(RED), "parameters": {"function_to_apply": {}}}, 400, "function_to_apply"),
        ({"inputs": [b64(RED), b64(RED[:60])]}, 422, "image 1: "),
    ],
)
async def test_what_cannot_be_answered_has_an_error(body: object, status: int, part: str) -> None:
    async with service() as s:
        answer = await s.client.post("/", json=body)
        assert answer.status_code == status, answer.text
        assert part in answer.json()["error"]
        assert "estimated_time" not in answer.json()
        assert (
            sum(
                s.counted("vit_refusals_total", code=answer.json()["code"], stage=t) for t in ("body", "decode", "head")
            )
            == 1
        )


async def test_nonsense_is_no_image() -> None:
    async with service() as s:
        assert (await s.client.post("/", content=b"nonsense")).status_code == 400
        assert (await s.client.post("/")).json()["code"] == "empty_body"


async def test_who_comes_too_early_is_told_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as s:
        assert (await s.client.get("/health")).status_code == 200
        monkeypatch.setattr(s.classifier._engine, "status", lambda: Status.STARTING)
        answer = await s.client.post("/", content=RED)
        assert (answer.status_code, answer.json()["estimated_time"]) == (503, 1.0)
        assert answer.headers["retry-after"] == "1" and answer.json()["code"] == "not_ready"
        assert (await s.client.get("/health")).status_code == 503


async def test_metrics_have_templates_for_paths() -> None:
    async with service() as s:
        await s.client.post("/models/a/b", content=RED)
        await s.client.post("/", content=RED)
        for route in ("/models/{model:path}", "/"):
            assert s.counted("vit_requests_total", route=route, code="200") == 1
