"""Owns when the garbage collector may walk everything, and memory goes back; does not know what is garbage."""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

from app.engine.heap import return_unused_memory

_LOOK_EVERY_S: Final = 0.5
_WORTH_IT: Final = 20  # collections of the middle generation, 7,000 new objects each
_AT_LATEST: Final = 50 * _WORTH_IT


async def tidy_when_idle(idle: Callable[[], bool]) -> None:
    """Runs for ever: full collections only while nobody is being answered, as each stops all for 10 ms or more.

    By itself the collector makes one whenever what survived has grown by a quarter, which a crowd of clients brings
    about. Where there is never an idle moment one is made all the same, once in a long while.
    """
    gc.freeze()  # what lives now lives to the end: 200,000 objects, which would take 0.15 s to walk, even once
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 2**30)
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        survived = gc.get_count()[2]
        if survived >= _AT_LATEST or (survived >= _WORTH_IT and idle()):
            gc.collect()
            await asyncio.to_thread(return_unused_memory)
