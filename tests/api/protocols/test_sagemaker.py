import base64

from app.api.schemas import ClassifyOut
from tests.api.conftest import picture, service


async def test_invocations_are_answered_as_ours() -> None:
    async with service(protocols=["sagemaker"]) as s:
        ours = (await s.client.post("/v1/classify", content=picture())).json()
        for sent in (
            {"content": picture(), "headers": {"Content-Type": "application/x-image"}},
            {"json": {"image": base64.b64encode(picture()).decode()}},
        ):
            answer = await s.client.post("/invocations", **sent)
            ClassifyOut.model_validate(answer.json(), strict=True)
            assert answer.json()["predictions"][0]["label"] == ours["predictions"][0]["label"]
        assert s.counted("vit_requests_total", route="/invocations", code="200") == 2
        assert (await s.client.post("/invocations", content=b"nonsense")).json()["code"] == "not_an_image"


async def test_ping_tells_whether_images_are_taken() -> None:
    async with service(protocols=["sagemaker"]) as s:
        assert (await s.client.get("/ping")).status_code == 200
        s.classifier.drain()
        assert (await s.client.get("/ping")).status_code == 503
