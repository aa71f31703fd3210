import asyncio

import pytest

from app.domain import Classification
from app.errors import DeadlineExceeded
from tests.api.conftest import service
from tests.api.test_classify import RED, URL, check_error


@pytest.mark.parametrize("text", ["0", "-5", "abc", "nan", "inf", ""])
async def test_bad_timeout(text: str) -> None:
    async with service() as s:
        headers = {"X-Request-Timeout-Ms": text}
        check_error(await s.client.post(URL, headers=headers, content=RED), 422, "invalid_timeout")


async def test_a_deadline_that_cannot_be_met() -> None:
    async with service() as s:
        headers = {"X-Request-Timeout-Ms": "0.001"}
        check_error(await s.client.post(URL, headers=headers, content=RED), 504, "deadline_exceeded")
        assert s.counted("vit_jobs_total", outcome="error") == 0  # it was not let in
        assert s.counted("vit_deadline_exceeded_total", set_by="client") == 1
        assert s.counted("vit_deadline_exceeded_total", set_by="server") == 0


async def test_a_body_that_does_not_arrive() -> None:
    async with service(request_timeout_ms=100) as s:

        async def never():
            yield b"\xff\xd8"
            await asyncio.sleep(30)

        check_error(await s.client.post(URL, content=never()), 408, "body_timeout")


async def test_what_reading_took_is_not_there_for_the_rest() -> None:
    async with service() as s:
        given: list[float] = []

        async def classify(data: bytes, top_k: int, timeout_s: float, examined: object, **_: object) -> Classification:
            given.append(timeout_s)
            raise DeadlineExceeded("")

        async def slow():
            await asyncio.sleep(0.3)
            yield RED

        s.classifier.classify = classify  # type: ignore[method-assign, assignment]
        await s.client.post(URL, content=slow(), headers={"X-Request-Timeout-Ms": "2000"})
        await s.client.post(URL, content=RED, headers={"X-Request-Timeout-Ms": "99000000"})
        await s.client.post(URL, content=RED)
        assert 0 < given[0] <= 1.7
        assert given[1:] == [pytest.approx(30, abs=1)] * 2
