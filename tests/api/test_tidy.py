import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from app.api import tidy
from app.api.tidy import tidy_when_idle


class Collector:
    """The garbage collector, of which it is said how much survived, and noted what it is asked for."""

    def __init__(self) -> None:
        self.survived = 0
        self.asked: list[str] = []

    def collect(self) -> None:
        self.asked.append("collect")
        self.survived = 0

    def freeze(self) -> None:
        self.asked.append("freeze")

    def give_back(self) -> None:
        self.asked.append("give back")

    def get_count(self) -> tuple[int, int, int]:
        return 0, 0, self.survived


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made, thresholds = Collector(), gc.get_threshold()
    for name in ("collect", "freeze", "get_count"):
        monkeypatch.setattr(gc, name, getattr(made, name))
    monkeypatch.setattr(tidy, "return_unused_memory", made.give_back)
    monkeypatch.setattr(tidy, "_LOOK_EVERY_S", 0.01)
    yield made
    gc.set_threshold(*thresholds)


@asynccontextmanager
async def tidying(idle: bool) -> AsyncIterator[None]:
    task = asyncio.create_task(tidy_when_idle(lambda: idle))
    await asyncio.sleep(0.05)
    yield
    task.cancel()


async def test_what_lives_at_the_start_is_never_walked_again(collector: Collector) -> None:
    young, middle, _ = gc.get_threshold()
    async with tidying(idle=True):
        assert collector.asked == ["freeze"]
        assert gc.get_threshold() == (young, middle, 2**30)  # of itself the collector walks everything no more


@pytest.mark.parametrize(
    ("survived", "idle", "tidied"),
    [(19, True, False), (20, True, True), (20, False, False), (999, False, False), (1000, False, True)],
)
async def test_everything_is_walked_where_it_is_worth_it_and_nobody_waits(
    collector: Collector, survived: int, idle: bool, tidied: bool
) -> None:
    async with tidying(idle):
        collector.survived = survived
        await asyncio.sleep(0.1)
        assert collector.asked[1:] == (["collect", "give back"] if tidied else [])
