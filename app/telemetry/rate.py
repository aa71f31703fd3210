"""Owns how often something may happen; does not know what, or count what may not."""

import time
from collections.abc import Callable


class RateLimit:
    """The first `most` of each period; a period begins with the first after the one before.

    For any thread: where two meet there may be one more, which costs less than a lock.
    """

    def __init__(self, most: int, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._period_s, self._clock = most, period_s, clock
        self._since, self._taken = clock(), 0

    def take(self) -> bool:
        """Whether one more may happen now; then it counts."""
        now = self._clock()
        if now - self._since >= self._period_s:
            self._since, self._taken = now, 0
        if self._taken >= self._most:
            return False
        self._taken += 1
        return True
