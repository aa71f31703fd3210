"""Owns how many images a second runners do when all lanes are busy; does not choose among runners."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.engine.client import Runner

_LONGEST_BATCH_S: Final = 0.15


def images_per_second(runners: Sequence[Runner], seconds: float) -> float:
    """Runs batches of the first slot, in one thread a lane, for about so long; first calls are not counted.

    Batches are as large as allowed, unless one takes long. Raises what a runner raises.
    """
    first = runners[0]
    first.run([0], [1], False)
    started_at = time.perf_counter()
    first.run([0], [1], False)
    image_s = time.perf_counter() - started_at
    size = max(1, min(first.max_batch_size, int(_LONGEST_BATCH_S / image_s)))

    def rate(runner: Runner) -> float:
        slots, top_ks = [0] * size, [1] * size
        runner.run(slots, top_ks, False)
        begun, images, passed_s = time.perf_counter(), 0, 0.0
        while passed_s < seconds:
            runner.run(slots, top_ks, False)
            images += size
            passed_s = time.perf_counter() - begun
        return images / passed_s

    with ThreadPoolExecutor(len(runners)) as lanes:
        return sum(lanes.map(rate, runners))
