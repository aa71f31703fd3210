"""More than the service can do, and clients that leave: everybody gets an answer in time or is forgotten."""

import asyncio
import random
import time
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import picture
from tests.benchmark.server import Server, running, service

URL = "/v1/classify"


@pytest.mark.operations
async def test_what_is_too_much_is_refused_and_the_rest_is_quick(tmp_path: Path) -> None:
    command = [*service("random:vit_tiny_patch16_224"), "--slots", "8", "--max-batch-size", "4"]
    with running(command, tmp_path / "log") as server:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", limits=limits, timeout=30) as client:

            async def one() -> tuple[httpx.Response, float]:
                started_at = time.monotonic()
                answer = await client.post(URL, content=picture(size=300))
                return answer, time.monotonic() - started_at

            answers = await asyncio.gather(*(one() for _ in range(100)))
        good = [seconds for answer, seconds in answers if answer.status_code == 200]
        refused = [answer for answer, _ in answers if answer.status_code != 200]
        assert len(good) >= 8 and max(good) < 10
        assert refused
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
        counters = server.counters()
        assert counters['vit_jobs_total{outcome="result"}'] == len(good)
        assert counters[f'vit_requests_total{{code="503",route="{URL}"}}'] == len(refused)
        assert server.post_image(URL, picture())["predictions"]


async def test_clients_that_leave_at_any_moment_leave_nothing_behind(embedded: Server) -> None:
    before, chance = embedded.counters(), random.Random(7)
    body = picture(size=200)
    request = b"POST /v1/classify HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def one(leaves: bool) -> bool:
        """Whether the client read its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", embedded.port)
        try:
            writer.write(request[: chance.randrange(len(request))] if leaves and chance.random() < 0.3 else request)
            if leaves:
                await asyncio.sleep(chance.random() * 0.05)
                return False
            return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        finally:
            writer.transport.abort()

    stay = [chance.random() < 0.7 for _ in range(200)]  # fewer than there are slots
    assert await asyncio.gather(*(one(not stays) for stays in stay)) == stay
    for _ in range(100):
        after = embedded.counters()
        if after["vit_slots_in_use"] == after["vit_queue_depth"] == 0:
            break
        await asyncio.sleep(0.05)
    assert after["vit_slots_in_use"] == after["vit_queue_depth"] == 0

    def more(series: str) -> float:
        return after.get(series, 0) - before.get(series, 0)

    answered, gone = (more(f'vit_requests_total{{code="{code}",route="{URL}"}}') for code in (200, 499))
    result, error, cancelled = (
        more(f'vit_jobs_total{{outcome="{outcome}"}}') for outcome in ("result", "error", "cancelled")
    )
    assert result == answered >= sum(stay)
    assert error == 0
    assert cancelled <= gone
    assert gone > 0
    assert embedded.post_image(URL, body)["predictions"]
