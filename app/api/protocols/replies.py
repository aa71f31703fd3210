"""Owns what the answers in the contracts of others share; does not know their bodies."""

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from app.errors import VitServeError

_MANY_NUMBERS: Final = 500  # written as JSON, each with a label, they take a millisecond


async def json_reply(content: Callable[[], Any], numbers: int) -> Response:
    """What `content` says of so many numbers, as JSON; in another thread where that would hold up the others."""
    return await asyncio.to_thread(_written, content) if numbers > _MANY_NUMBERS else _written(content)


def _written(content: Callable[[], Any]) -> Response:
    return JSONResponse(content())


def first_error(answers: Sequence[object]) -> VitServeError | None:
    """Of several images the first's that failed, with its index; theirs is the whole request's where it has no place.

    It is counted already, as that image's.
    """
    for index, answer in enumerate(answers):
        if isinstance(answer, VitServeError):
            error = copy(answer)
            error.args = (f"image {index}: {answer}",)
            return error
    return None
