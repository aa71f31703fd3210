from typing import Any

import pytest

from tests.api.conftest import ask, body_of, picture, service

URL = "/v1/classify"


async def test_the_busiest_route_does_not_ask_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_router(*_: Any) -> None:
        raise AssertionError("the router was asked")

    async with service() as opened:
        monkeypatch.setattr(opened.app.router, "middleware_stack", no_router)
        for body, status in ((picture(), 200), (b"", 400), (b"no image", 415)):
            answer = await ask(opened.app, receive=body_of(body))
            assert answer.status == status
            assert opened.counted("vit_requests_total", route=URL, code=str(status)) == 1
        assert (await ask(opened.app, path="/livez", method="GET")).status == 500  # so the router is what was broken


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", URL, 405), ("POST", f"{URL}/", 404), ("HEAD", URL, 405)]
)
async def test_what_is_not_just_that_route_goes_through_the_router(method: str, path: str, status: int) -> None:
    async with service() as opened:
        assert (await ask(opened.app, method=method, path=path)).status == status
