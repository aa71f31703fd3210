"""Owns the race between the work and the client's leaving; does not answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from app.errors import ClientGone

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; if the client closes the connection first, `work` is cancelled.

    The body must have been read. Servers do not cancel handlers by themselves. Raises ClientGone, or what
    `work` raises.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone("the client closed the connection before the answer")
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait((working,))  # its clean-up has run before anybody counts slots again


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
