"""Owns what the answers in the contracts of others share; does not know their bodies."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import JSONResponse, Response

_MANY_NUMBERS: Final = 500  # written as JSON, each with a label, they take a millisecond


async def json_reply(content: Callable[[], Any], numbers: int) -> Response:
    """What `content` says of so many numbers, as JSON; in another thread where that would hold up the others."""
    return await asyncio.to_thread(_written, content) if numbers > _MANY_NUMBERS else _written(content)


def _written(content: Callable[[], Any]) -> Response:
    return JSONResponse(content())
