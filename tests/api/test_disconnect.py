import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from app.api.disconnect import unless_gone
from app.errors import ClientGone, NotAnImage

Receive = Callable[[], Awaitable[dict[str, Any]]]


def request(receive: Receive) -> Request:
    return Request({"type": "http", "headers": []}, receive)


async def stays() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def leaves() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def work(result: str = "done") -> str:
    await asyncio.sleep(0)
    return result


async def failing() -> str:
    raise NotAnImage("no")


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_the_result_comes_through_and_nothing_is_left_running() -> None:
    before = others()
    assert await unless_gone(request(stays), work()) == "done"
    await asyncio.sleep(0)
    assert others() == before


async def test_an_error_comes_through() -> None:
    with pytest.raises(NotAnImage):
        await unless_gone(request(stays), failing())


async def test_a_result_that_is_there_already_wins_over_leaving() -> None:
    async def at_once() -> str:
        return "done"

    assert await unless_gone(request(leaves), at_once()) == "done"


@pytest.mark.parametrize("outside", [False, True])
async def test_work_is_cancelled_and_has_cleaned_up_when_the_client_leaves_or_the_caller_is_cancelled(
    outside: bool,
) -> None:
    before, cleaned = others(), []
    started = asyncio.Event()

    async def long() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(True)

    async def left() -> dict[str, Any]:
        await started.wait()
        return {"type": "http.disconnect"}

    task = asyncio.ensure_future(unless_gone(request(stays if outside else left), long()))
    await started.wait()
    if outside:
        task.cancel()
    with pytest.raises(asyncio.CancelledError if outside else ClientGone):
        await task
    assert cleaned == [True]
    await asyncio.sleep(0)
    assert others() == before


async def test_what_a_client_says_after_the_body_is_not_its_leaving() -> None:
    said = [{"type": "http.request", "body": b"", "more_body": False}] * 3

    async def talks() -> dict[str, Any]:
        return said.pop() if said else await stays()

    assert await unless_gone(request(talks), work()) == "done"
