"""Owns the bound on the memory of request bodies; does not read them or judge the load of the device."""

from types import TracebackType

from app.errors import Overloaded


class BodyMemory:
    """Counts the bytes of all bodies, as they arrive: `with memory.hold() as held: held.add(…)`. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.used_bytes = max_bytes, 0

    def hold(self) -> "Held":
        """The share of one request, given back at the end of the `with`."""
        return Held(self)


class Held:
    """What one request holds."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory, self._bytes = memory, 0

    def add(self, size: int) -> None:
        """Raises Overloaded if that many bytes more do not fit beside the others' bodies."""
        if self._memory.used_bytes + size > self._memory.max_bytes:
            raise Overloaded(f"request bodies fill {self._memory.max_bytes} bytes of memory, the limit, already")
        self._memory.used_bytes += size
        self._bytes += size

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._memory.used_bytes -= self._bytes
