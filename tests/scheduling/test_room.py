import asyncio
import threading
from collections.abc import Callable

import pytest

from app.errors import Draining, Overloaded
from app.scheduling.room import RoomQueue


class House:
    """So many places, and those who wait for one."""

    def __init__(self, free: int = 0) -> None:
        self.free, self.tries = free, list[str]()
        self.queue = RoomQueue()

    def take(self, name: str) -> str:
        self.tries.append(name)
        if not self.free:
            raise Overloaded("full")
        self.free -= 1
        return name

    def enter(self, name: str) -> "asyncio.Task[str]":
        return asyncio.create_task(self.queue.until(lambda: self.take(name)))

    def leave(self) -> None:
        self.free += 1
        self.queue.room()


async def soon(task: "asyncio.Task[str]") -> str:
    async with asyncio.timeout(5):
        return await task


async def test_the_longest_waiting_gets_the_place_and_nobody_else_is_woken() -> None:
    house = House()
    tasks = [house.enter(name) for name in "abc"]
    await asyncio.sleep(0)
    house.leave()
    assert await soon(tasks[0]) == "a"
    await asyncio.sleep(0.01)
    assert house.tries == ["a", "b", "c", "a"]
    for task, name in zip(tasks[1:], "bc", strict=True):
        house.leave()
        assert await soon(task) == name


async def test_a_place_that_is_free_while_somebody_tries_is_not_missed() -> None:
    house = House()
    tried = 0

    def take() -> str:
        nonlocal tried
        tried += 1
        if tried == 1:
            house.queue.room()  # by another thread, say, after this one found none
            raise Overloaded("full")
        return "in"

    assert await soon(asyncio.create_task(house.queue.until(take))) == "in"


async def test_who_got_in_at_once_takes_nobodys_turn() -> None:
    house = House(free=3)
    for _ in range(3):
        assert await soon(house.enter("a")) == "a"
    waiting = house.enter("b")
    await asyncio.sleep(0)
    house.leave()
    assert await soon(waiting) == "b"


async def test_who_stopped_waiting_takes_nobodys_turn() -> None:
    house = House()
    gone, waiting = house.enter("a"), house.enter("b")
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    house.leave()
    assert await soon(waiting) == "b"


@pytest.mark.parametrize("leave", [House.leave, lambda house: threading.Timer(0.05, house.leave).start()])
async def test_a_place_becomes_free_in_any_thread(leave: Callable[[House], None]) -> None:
    house = House()
    waiting = house.enter("a")
    await asyncio.sleep(0)
    leave(house)
    assert await soon(waiting) == "a"


async def test_other_errors_come_through() -> None:
    def take() -> str:
        raise Draining("over")

    with pytest.raises(Draining):
        await RoomQueue().until(take)
    RoomQueue().room()  # where nobody ever waited
