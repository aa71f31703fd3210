"""Owns trying again what was refused for want of room; does not refuse."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.errors import Overloaded

_SHORTEST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 5.0
T = TypeVar("T")


async def until_taken(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives once it is not refused; in between as long as the refusal says. For those with all the time."""
    while True:
        try:
            return await work()
        except Overloaded as error:
            await asyncio.sleep(min(max(error.retry_after_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S))
