"""What a failed request holds on to: its images, megabytes each, which others wait to have room for."""

from functools import partial
from typing import Any

import pytest
from starlette.requests import Request

from app.api.answering import Asked, Images, answer
from app.errors import CorruptImage, DeadlineExceeded, EngineFailed, Overloaded, VitServeError
from tests.api.conftest import picture, service


@pytest.mark.parametrize("error", [CorruptImage, Overloaded, EngineFailed, DeadlineExceeded])
async def test_a_failed_request_gives_its_large_image_back_at_once(error: type[VitServeError]) -> None:
    bodies = list[bytearray]()

    async def fail(*_: Any, **__: Any) -> Any:
        raise error("no")

    async def endpoint(request: Request) -> None:
        def unpack(body: bytearray) -> Asked[Any]:
            bodies.append(body)
            return Asked(Images([body], many=False), partial(fail))

        await answer(request, unpack)

    async with service() as s:
        s.app.post("/failing", response_model=None)(endpoint)
        answered = await s.client.post("/failing", content=picture() + bytes(100_000))
        assert answered.json()["code"] == error.code
        s.app.state.service.unpacking.shutdown()  # what it was given to do is done
        assert bodies == [b""]
