import asyncio

import pytest

from app.engine.client import EngineConfig, OutOfDeviceMemory, Status
from app.errors import Draining
from tests.engine.test_engine import house, until
from tests.fakes import EchoRunner


class BreaksAtWarmUp(EchoRunner):
    def warm_up(self) -> None:
        raise OutOfDeviceMemory("the weights fit, the batches do not")


def test_a_failed_warm_up_is_told_and_nobody_waits() -> None:
    async def run() -> None:
        async with house(BreaksAtWarmUp(), EchoRunner()) as h:
            with pytest.raises(OutOfDeviceMemory):
                await h.engine.ready()
            assert h.engine.status() is Status.FAILED
            with pytest.raises(Draining):
                await h.engine.submit(h.job())
            assert h.slots.in_use == 0

    asyncio.run(run())


def test_a_warm_up_that_hangs_is_seen() -> None:
    class Hanging(EchoRunner):
        def warm_up(self) -> None:
            assert self.gate.wait(10)

    async def run() -> None:
        runner = Hanging()
        runner.gate.clear()
        async with house(runner, config=EngineConfig(warm_up_timeout_s=0.1)) as h:
            assert h.engine.status() is Status.STARTING
            await until(lambda: h.engine.status() is Status.FAILED)
            runner.gate.set()
            await h.engine.ready()
            assert h.engine.status() is Status.READY

    asyncio.run(run())
