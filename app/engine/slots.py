"""Owns the pool of slot numbers and the pixels behind them; does not know who uses them."""

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt


class SlotPool:
    """A fixed number of places for one image's pixels each, uint8 (height, width, 3); thread-safe.

    Memory is claimed at once but touched only when used; the last slot released is the first one taken again,
    so that light load stays in few pages.
    """

    def __init__(self, count: int, height: int, width: int) -> None:
        self.pixels: npt.NDArray[np.uint8] = np.zeros((count, height, width, 3), dtype=np.uint8)
        self._free = list(range(count))
        self._taken = [False] * count
        self._lock = threading.Lock()
        self.on_release: Callable[[], None] = lambda: None  # called by whoever releases, in any thread

    @property
    def in_use(self) -> int:
        """Slots taken and not released."""
        return len(self._taken) - len(self._free)

    @property
    def nbytes(self) -> int:
        """Memory of all slots, in bytes."""
        return self.pixels.nbytes

    def take(self) -> int | None:
        """A free slot's number, without waiting; None if there is none."""
        with self._lock:
            if not self._free:
                return None
            slot = self._free.pop()
            self._taken[slot] = True
            return slot

    def release(self, slot: int) -> None:
        """Gives a slot back. Raises RuntimeError if it was not taken: somebody else's pixels would be at risk."""
        with self._lock:
            if not self._taken[slot]:
                raise RuntimeError(f"slot {slot} was released twice. This is a bug.")
            self._taken[slot] = False
            self._free.append(slot)
        self.on_release()
