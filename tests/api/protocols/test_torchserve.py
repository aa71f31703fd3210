from typing import Any

import pytest

from app.api.protocols.torchserve import _probabilities
from app.domain import Classification, Prediction, Timing
from app.engine.client import Status
from tests.api.conftest import MODEL, Service, picture, service

RED, BLUE = picture((250, 0, 0)), picture((0, 0, 250), "JPEG")
URL = f"/predictions/{MODEL}"


async def classified(s: Service, image: bytes) -> dict[str, Any]:
    answer = (await s.client.post("/v1/classify", content=image)).json()["predictions"]
    return {p["label"]: pytest.approx(p["score"], abs=1e-5) for p in answer}


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", [URL, URL + "/1.0", URL + "/1", "/predictions/densenet161"])
async def test_the_body_is_the_image(method: str, path: str) -> None:
    async with service(model_aliases=("densenet161",)) as s:
        answer = await s.client.request(method, path, content=RED, headers={"Content-Type": "application/x-www-form"})
        assert answer.json() == await classified(s, RED)
        scores = list(answer.json().values())
        assert len(scores) == 5 and scores == sorted(scores, reverse=True)


async def test_a_form_holds_one_or_several() -> None:
    async with service() as s:
        one = await s.client.post(URL, files={"data": ("a.png", RED)})
        assert one.json() == await classified(s, RED)
        two = await s.client.post(URL, files=[("data", ("a.png", RED)), ("data", ("b.jpg", BLUE))])
        assert two.json() == [await classified(s, RED), await classified(s, BLUE)]


@pytest.mark.parametrize(
    ("path", "image", "status", "kind", "reason"),
    [
        ("/predictions/other", RED, 404, "ModelNotFoundException", "unknown_model"),
        (URL + "/2.0", RED, 404, "ModelNotFoundException", "unknown_model"),
        (URL, b"nonsense", 415, "BadRequestException", "not_an_image"),
        (URL, b"", 400, "BadRequestException", "empty_body"),
        (f"/explanations/{MODEL}", RED, 501, "NotImplementedException", "not_supported"),
    ],
)
async def test_errors_have_the_fields_of_both(path: str, image: bytes, status: int, kind: str, reason: str) -> None:
    async with service() as s:
        answer = await s.client.post(path, content=image)
        body = answer.json()
        assert answer.status_code == body["code"] == status
        assert (body["type"], body["reason"]) == (kind, reason)
        assert body["message"] == body["error"] and body["request_id"] == answer.headers["x-request-id"]


async def test_of_several_images_the_one_that_failed_is_named() -> None:
    async with service() as s:
        answer = await s.client.post(URL, files=[("data", ("a", RED)), ("data", ("b", RED[:60]))])
        assert (answer.status_code, answer.json()["reason"]) == (422, "corrupt_image")
        assert answer.json()["message"].startswith("image 1: ")
        assert s.counted("vit_refusals_total", code="corrupt_image", stage="decode") == 1


async def test_health_and_description(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as s:
        assert (await s.client.get("/ping")).json() == {"status": "Healthy"}
        assert "/v1/classify" in (await s.client.options("/")).json()["paths"]
        monkeypatch.setattr(s.classifier._engine, "status", lambda: Status.FAILED)
        assert (await s.client.get("/ping")).status_code == 503
        answer = await s.client.put(URL, content=RED)
        assert (answer.status_code, answer.json()["type"]) == (503, "ServiceUnavailableException")


async def test_metrics_have_templates_for_paths() -> None:
    async with service() as s:
        await s.client.put(URL, content=RED)
        await s.client.put(URL + "/1.0", content=RED)
        for route in ("/predictions/{model}", "/predictions/{model}/{version}"):
            assert s.counted("vit_requests_total", route=route, code="200") == 1


def test_of_two_classes_with_one_name_the_likelier_is_told() -> None:
    predictions = (Prediction("crane", 134, 0.7), Prediction("kite", 21, 0.2), Prediction("crane", 517, 0.1))
    answer = Classification("m", predictions, Timing(0, 0, 0, 0), 1)
    assert list(_probabilities(answer).items()) == [("crane", 0.7), ("kite", 0.2)]
