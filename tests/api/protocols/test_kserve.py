import base64
from pathlib import Path
from typing import Any

import pytest

from app.api.protocols import instances
from tests.api.conftest import MODEL, Service, picture, service
from tests.api.test_off_the_loop import note

RED, BLUE = picture((250, 0, 0)), picture((0, 0, 250), "JPEG")
URL = f"/v1/models/{MODEL}:predict"
CAT = Path(__file__).with_name("instances_of_a_cat.json").read_bytes()  # as a client of KServe sent it


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def classified(s: Service, image: bytes, top_k: int = 5) -> dict[str, Any]:
    answer = (await s.client.post("/v1/classify", content=image, params={"top_k": top_k})).json()["predictions"]
    return {"scores": [pytest.approx(p["score"], abs=1e-5) for p in answer], "classes": [p["label"] for p in answer]}


@pytest.mark.parametrize(
    "instance",
    [
        {"image_bytes": {"b64": b64(RED)}},
        {"b64": b64(RED)},
        b64(RED),
        {"image": b64(RED)},
        {"image_bytes": {"b64": b64(RED)}, "threshold": 0.5, "image": "not looked at"},
    ],
)
async def test_an_instance_may_name_its_image_as_each_of_them_does(instance: object) -> None:
    async with service() as s:
        answer = await s.client.post(URL, json={"instances": [instance], "signature_name": "serving_default"})
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"predictions": [await classified(s, RED)]}


async def test_instances_are_answered_in_order_with_their_keys_and_as_many_classes_as_asked_for() -> None:
    async with service() as s:
        both = [{"b64": b64(RED), "key": "r"}, {"image_bytes": {"b64": b64(BLUE)}, "key": 7}]
        answer = await s.client.post(URL, json={"instances": both, "parameters": {"top_k": 2}})
        assert answer.json()["predictions"] == [
            await classified(s, RED, 2) | {"key": "r"},
            await classified(s, BLUE, 2) | {"key": 7},
        ]
        by_query = await s.client.post(URL, json={"instances": both}, params={"top_k": 2})
        assert by_query.json() == answer.json()


async def test_a_request_of_a_client_of_kserve() -> None:
    async with service(model_aliases=("cats",)) as s:
        for path in ("/v1/models/cats:predict", "/v1/models/cats/versions/1:predict"):
            answer = await s.client.post(path, content=CAT)
            assert [len(one["scores"]) for one in answer.json()["predictions"]] == [5]


@pytest.mark.parametrize(
    ("body", "status", "code", "part"),
    [
        ({"instances": []}, 400, "empty_body", "no image"),
        ({"inputs": []}, 400, "malformed_request", "instances"),
        ([], 400, "malformed_request", "instances"),
        ({"instances": [b64(RED), [[0.0, 0.1]]]}, 400, "malformed_request", "instance 1 has no image"),
        ({"instances": [{"a": {"b64": b64(RED)}, "b": {"b64": b64(RED)}}]}, 400, "malformed_request", "instance 0"),
        ({"instances": [{"b64": 5}]}, 400, "malformed_request", "instance 0"),
        ({"instances": [b64(RED), {"b64": "%%%"}]}, 400, "malformed_request", "instance 1"),
        ({"instances": [{"b64": b64(RED), "key": {}}]}, 400, "malformed_request", "key"),
        ({"instances": [{"b64": b64(RED), "key": "k" * 256}]}, 400, "malformed_request", "key"),
        ({"instances": [b64(RED)] * 33}, 413, "too_many_images", "33 images"),
        ({"instances": [b64(RED)], "parameters": {"top_k": "2"}}, 422, "invalid_top_k", "top_k"),
        ({"instances": [b64(RED)], "parameters": {"top_k": True}}, 422, "invalid_top_k", "top_k"),
        ({"instances": [b64(RED)], "parameters": {"top_k": 10**2000}}, 422, "invalid_top_k", "whole number"),
        ({"instances": [b64(RED)], "parameters": {"top_k": 1000}}, 422, "invalid_top_k", "10 classes"),
        ({"instances": [b64(RED)], "parameters": []}, 400, "malformed_request", "parameters"),
        ({"instances": [b64(b"no picture")]}, 415, "not_an_image", ""),
        ({"instances": [b64(RED), b64(RED[:60])]}, 422, "corrupt_image", "image 1: "),
    ],
)
async def test_what_cannot_be_answered_is_refused_as_a_whole(body: object, status: int, code: str, part: str) -> None:
    async with service() as s:
        answer = await s.client.post(URL, json=body)
        assert answer.status_code == status, answer.text
        assert answer.json()["code"] == code
        assert part in answer.json()["error"]


@pytest.mark.parametrize("key", [rb'"\ud800"', b'"\xed\xa0\x80"'])
async def test_what_could_not_be_said_again_is_no_json(key: bytes) -> None:
    async with service() as s:
        answer = await s.client.post(URL, content=b'{"instances": [{"b64": "YWJj", "key": %s}]}' % key)
        assert (answer.status_code, "surrogates" in answer.json()["error"]) == (400, True)


async def test_an_image_as_it_is_is_no_json_whatever_follows_in_it() -> None:
    async with service() as s:
        answer = await s.client.post(URL, content=RED + b'"",' * 100_000)
        assert (answer.status_code, "is an image" in answer.json()["error"]) == (400, True)


async def test_an_error_is_counted_once() -> None:
    async with service() as s:
        await s.client.post(URL, json={"instances": [b64(RED), b64(RED[:60])]})
        assert s.counted("vit_refusals_total", code="corrupt_image", stage="decode") == 1


async def test_another_model_or_version_is_not_there() -> None:
    async with service() as s:
        for path in ("/v1/models/resnet:predict", f"/v1/models/{MODEL}/versions/2:predict"):
            answer = await s.client.post(path, content=CAT)
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
        assert (await s.client.get("/v1/models/resnet")).status_code == 404


async def test_instances_are_explained_as_by_our_own_contract() -> None:
    async with service() as s:
        url, own = f"/v1/models/{MODEL}:explain", await s.client.post("/v1/explain", content=RED)
        answer = await s.client.post(url, json={"instances": [b64(RED), {"b64": b64(BLUE)}]})
        first, second = answer.json()["explanations"]
        assert set(first) == set(second) == set(own.json()) - {"request_id"}
        assert first["grid"] == [pytest.approx(row, abs=1e-4) for row in own.json()["grid"]]
        broken = await s.client.post(url, json={"instances": [b64(RED), b64(RED[:60])]})
        assert (broken.status_code, broken.json()["code"]) == (422, "corrupt_image")
        assert broken.json()["error"].startswith("image 1: ")
    async with service(insights=False) as s:
        answer = await s.client.post(url, json={"instances": [b64(RED)]})
        assert (answer.status_code, answer.json()["code"]) == (501, "not_supported")


async def test_the_model_is_told_in_the_terms_of_both() -> None:
    async with service(model_aliases=("cats",)) as s:
        assert (await s.client.get("/v1/models")).json() == {"models": [MODEL, "cats"]}
        for path in ("/v1/models/cats", "/v1/models/cats/versions/1"):
            answer = await s.client.get(path)
            assert answer.status_code == 200
            version = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            assert answer.json() == {"name": "cats", "ready": True, "model_version_status": [version]}
        s.classifier.drain()
        answer = await s.client.get("/v1/models/cats")
        assert answer.status_code == 503
        assert not answer.json()["ready"] and answer.json()["model_version_status"][0]["state"] == "UNLOADING"


async def test_liveness_for_programs_and_the_page_for_browsers() -> None:
    async with service() as s:
        alive = await s.client.get("/")
        assert alive.json() == {"status": "alive"} and alive.headers["vary"] == "Accept"
        page = await s.client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert page.headers["content-type"].startswith("text/html") and "Accept" in page.headers["vary"]
    async with service(protocols=[]) as s:
        assert (await s.client.get("/")).headers["content-type"].startswith("text/html")


async def test_metrics_have_templates_for_paths() -> None:
    async with service(model_aliases=("cats",)) as s:
        await s.client.post("/v1/models/cats:predict", content=CAT)
        assert s.counted("vit_requests_total", route="/v1/models/{model:path}:predict", code="200") == 1


async def test_large_instances_are_read_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as s:
        noted = note(monkeypatch, instances, "read_instances")
        large, small = [RED + b"\0" * 100_000], [RED]
        for images in (large, small):
            body = {"instances": [{"b64": b64(image)} for image in images]}
            assert (await s.client.post(URL, json=body)).status_code == 200
        assert noted.on_loop == [False, True]
