"""Owns the tests of what a scrape says of refusals, limits and work done; names and formats are telemetry's tests'."""

import asyncio
import re

import pytest

from app.engine.runners.memory import memory_gauges
from app.settings import Settings
from tests.api.conftest import picture, service

URL = "/v1/classify"
OPEN_METRICS = "application/openmetrics-text;version=1.0.0"


@pytest.mark.parametrize(
    ("body", "query", "code", "stage"),
    [
        (b"", "", "empty_body", "body"),
        (b"no picture", "", "not_an_image", "decode"),
        (picture()[:60], "", "corrupt_image", "decode"),
        (picture(), "?top_k=0", "invalid_top_k", "head"),
        (picture(), "?wings=2", "unknown_parameter", "head"),
    ],
)
async def test_a_refusal_is_counted_by_code_and_stage(body: bytes, query: str, code: str, stage: str) -> None:
    async with service() as s:
        answer = await s.client.post(URL + query, content=body)
        assert answer.json()["code"] == code
        assert s.counted("vit_refusals_total", code=code, stage=stage) == 1


async def test_so_is_one_image_among_several() -> None:
    async with service() as s:
        files = [("image", picture()), ("image", b"nothing"), ("image", b"nothing else")]
        answer = await s.client.post(URL, files=files)
        assert answer.status_code == 200
        assert s.counted("vit_refusals_total", code="not_an_image", stage="decode") == 2


async def test_a_bug_is_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as s:
        monkeypatch.setattr(s.classifier, "check_top_k", None)
        assert (await s.client.post(URL, content=picture())).status_code == 500
        assert s.counted("vit_refusals_total", code="internal_error", stage="unknown") == 1


async def test_what_is_limited_stands_beside_its_limit() -> None:
    async with service(max_wait_ms=250, slots=33) as s:
        for gauge, value in {
            "vit_slots": 33,
            "vit_lanes": s.classifier.info.lanes,
            "vit_max_batch_size": 2,
            "vit_max_wait_seconds": 0.25,
            "vit_bodies_limit_bytes": Settings().max_bodies_bytes,
            "vit_decode_limit_bytes": Settings().max_decode_bytes,
            "vit_decode_threads": s.classifier.decoders.threads,
            "vit_images_per_second": 0,
            "vit_expected_wait_seconds": 0,
            "vit_decode_queue_depth": 0,
        }.items():
            assert s.metrics.registry.get_sample_value(gauge) == value, gauge


async def test_work_is_counted_in_seconds() -> None:
    async with service() as s:
        await asyncio.gather(*(s.client.post(URL, content=picture(size=300)) for _ in range(12)))
        busy = s.counted("vit_device_busy_seconds_total")
        assert 0 < busy == pytest.approx(s.counted("vit_batch_duration_seconds_sum"))
        assert s.counted("vit_decode_busy_seconds_total") > 0
        assert s.counted("vit_images_per_second") > 0


async def test_who_accepts_openmetrics_gets_the_requests_id_of_an_answer() -> None:
    async with service() as s:
        id_ = (await s.client.post(URL, content=picture())).headers["X-Request-ID"]
        answer = await s.client.get("/metrics", headers={"Accept": OPEN_METRICS})
        assert answer.headers["content-type"].startswith(OPEN_METRICS.replace(";", "; "))
        assert re.findall(r'# {request_id="([^"]*)"}', answer.text) == [id_]
        assert (await s.client.get("/metrics")).headers["content-type"].startswith("text/plain")


def test_a_cpu_has_no_memory_of_its_own() -> None:
    assert memory_gauges("cpu") == {}
