"""Owns those who wait until somebody leaves; does not know how much room there is."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from app.errors import Overloaded

T = TypeVar("T")


class RoomQueue:
    """Lets one waiter, the longest waiting, try again for each place that becomes free."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def until(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns once it no longer raises Overloaded; raises whatever else it raises."""
        self._loop = asyncio.get_running_loop()
        while True:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(waiter)  # before trying: a place that becomes free meanwhile must not go unnoticed
            try:
                return attempt()
            except Overloaded:
                await self._woken(waiter)
            finally:
                waiter.cancel()

    async def _woken(self, waiter: "asyncio.Future[None]") -> None:
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # woken in the same turn: the place is another's
                self._wake()
            raise

    def room(self) -> None:
        """A place is free; from any thread, at next to no cost where nobody waits."""
        if self._waiting and self._loop:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
