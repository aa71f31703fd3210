"""Owns the tests of api/routes/embeddings.py."""

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.schemas_inside import EmbeddingsOut
from tests.api.conftest import MODEL, Service, picture, service
from tests.api.test_classify import b64, check_error
from tests.training.pictures import png

URL = "/v1/embeddings"
RED, BLUE = picture((250, 0, 0)), picture((0, 0, 250), "JPEG")


def values(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    EmbeddingsOut.model_validate(body)
    assert [each["index"] for each in body["data"]] == list(range(len(body["data"])))
    return [each["embedding"] for each in body["data"]]


async def test_every_envelope_gives_the_same() -> None:
    async with service() as s:
        answer = await s.client.post(URL, content=RED)
        [raw] = values(answer)
        assert answer.json()["model"] == MODEL and answer.json()["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
        assert len(raw) == (await s.client.get("/v1/model")).json()["capabilities"]["embedding_width"] == 128
        ours = (await s.classifier.embed(RED)).values
        assert raw == pytest.approx(ours.tolist(), abs=1e-6)
        assert np.abs(np.array(raw) - values(await s.client.post(URL, content=BLUE))[0]).max() > 0.01
        url = "data:image/png;base64," + b64(RED)
        for options in (
            {"files": {"image": RED}},
            {"json": {"image": url}},
            {"json": {"input": url, "model": "any", "user": "somebody"}},
            {"json": {"input": [b64(RED)], "model": "any"}},
        ):
            [same] = values(await s.client.post(URL, **options))
            assert same == pytest.approx(raw, abs=1e-5)


async def test_several_come_in_their_order() -> None:
    async with service() as s:
        [red], [blue] = [values(await s.client.post(URL, content=each)) for each in (RED, BLUE)]
        for options in (
            {"files": [("image", each) for each in (RED, BLUE, RED)]},
            {"json": {"images": [b64(each) for each in (RED, BLUE, RED)]}},
            {"json": {"input": [b64(each) for each in (RED, BLUE, RED)]}},
        ):
            found = values(await s.client.post(URL, **options))
            assert np.array(found) == pytest.approx(np.array([red, blue, red]), abs=1e-5)


async def test_length_and_form_are_options_of_query_and_body() -> None:
    async with service() as s:
        [plain] = values(await s.client.post(URL, content=RED))
        assert np.linalg.norm(plain) > 2
        [unit] = values(await s.client.post(URL, content=RED, params={"normalize": "true"}))
        assert np.array(unit) == pytest.approx(np.array(plain) / np.linalg.norm(plain), abs=1e-6)
        body = {"input": b64(RED), "normalize": True, "encoding_format": "base64"}
        [text] = values(await s.client.post(URL, json=body))
        assert np.frombuffer(base64.b64decode(text), "<f4") == pytest.approx(np.array(unit), abs=1e-6)
        [again] = values(await s.client.post(URL, json=body, params={"normalize": "0", "encoding_format": "float"}))
        assert again == pytest.approx(plain, abs=1e-5)  # the query is nearer to the caller


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"input": []}, 400, "empty_body"),
        ({"input": ""}, 400, "empty_body"),
        ({"input": 7}, 400, "malformed_request"),
        ({"input": [[1, 2, 3]]}, 400, "malformed_request"),  # tokens, as for a model of text
        ({"input": "***"}, 400, "malformed_request"),
        ({"input": "a cat"}, 400, "malformed_request"),
        ({"input": "https://a.example/cat.jpg"}, 400, "malformed_request"),
        ({"input": "A photograph of a cat sits here"}, 400, "malformed_request"),
        ({"input": [b64(RED)] * 3}, 413, "too_many_images"),
        ({"input": b64(RED), "dimensions": 64}, 422, "invalid_parameter"),
        ({"input": b64(RED), "encoding_format": "int8"}, 422, "invalid_parameter"),
        ({"input": b64(RED), "encoding_format": ["float"]}, 422, "invalid_parameter"),
        ({"input": b64(RED), "normalize": "maybe"}, 422, "invalid_parameter"),
        ({"model": "any"}, 400, "malformed_request"),
    ],
)
async def test_bad_bodies(body: object, status: int, code: str) -> None:
    async with service(max_images_per_request=2) as s:
        check_error(await s.client.post(URL, json=body), status, code)


async def test_one_bad_image_among_several_is_told_by_its_number() -> None:
    async with service() as s:
        answer = await s.client.post(URL, json={"input": [b64(RED), b64(RED[:-40]), b64(BLUE)]})
        check_error(answer, 422, "corrupt_image")
        assert "image 1" in answer.json()["error"]
        assert 'vit_refusals_total{code="corrupt_image",stage="decode"} 1.0' in s.metrics.render()[0].decode()


@pytest.mark.parametrize("query", ["?top_k=1", "?normalize=2", "?dimensions=3", "?" + "n" * 2000])
async def test_bad_queries(query: str) -> None:
    async with service() as s:
        answer = await s.client.post(URL + query, content=RED)
        assert answer.status_code == 422 and answer.json()["code"] in ("unknown_parameter", "invalid_parameter")


@pytest.mark.parametrize("content", [b"", b"hello", b"{", b'{"input":', b"[" * 100_000, b'{"input": "\xff"}'])
async def test_hostile_bodies_are_refused_as_by_classify(content: bytes) -> None:
    async with service() as s:
        answer = await s.client.post(URL, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 415) and answer.json()["code"] != "internal_error"


async def test_large_bodies_are_unpacked_elsewhere() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    async with service() as s:
        large = png(noise)
        [one], [other] = [
            values(await s.client.post(URL, **each))
            for each in ({"content": large}, {"content": json.dumps({"input": b64(large)})})
        ]
        assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("options", [{"model": "noop"}, {"insights": False}])
async def test_where_there_are_none_it_says_so_at_once(options: dict[str, Any]) -> None:
    async with service(**options) as s:
        check_error(await s.client.post(URL, content=RED), 501, "not_supported")
        check_error(await s.client.post("/v1/explain", content=RED), 501, "not_supported")
        told = (await s.client.get("/v1/model")).json()["capabilities"]
        assert told == {"embeddings": False, "embedding_width": None, "explain": []}
        assert s.counted("vit_refusals_total", code="not_supported", stage="head") == 2


async def test_what_is_counted() -> None:
    async with service() as s:
        values(await s.client.post(URL, content=RED))
        check_error(await s.client.post(URL, content=b"x"), 415, "not_an_image")
        assert s.counted("vit_jobs_total", outcome="result") == 1
        assert s.counted("vit_stage_duration_seconds_count", stage="inside_inference") == 1
        assert s.counted("vit_stage_duration_seconds_count", stage="inference") == 0
        assert s.counted("vit_batch_size_count") == 0
        assert s.counted("vit_refusals_total", code="not_an_image", stage="decode") == 1


async def test_a_full_house_takes_no_more(service_full: Service) -> None:
    answer = await service_full.client.post(URL, content=RED)
    check_error(answer, 503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.fixture
async def service_full(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("app.inside._PLACES", {"embeddings": 0, "explanations": 0})
    async with service() as s:
        yield s
