"""Owns what the server says of its own time in the Server-Timing headers of its answers; does not read /metrics."""

import random
import re
from typing import Final

_MOST: Final = 100_000  # headers kept: of more answers, a sample by chance
_LONGEST_BYTES: Final = 1000
_STAGE: Final = re.compile(rb"([a-zA-Z0-9_.-]+)[^,]*?;\s*dur=([0-9]+(?:\.[0-9]*)?)(?![0-9.])")


class Timings:
    """Headers as they came, which are read when the load is over."""

    def __init__(self) -> None:
        self._kept, self._seen, self._chance = list[bytes](), 0, random.Random(0)

    def add(self, header: bytes) -> None:
        """One answer's, empty if it had none."""
        if not 0 < len(header) < _LONGEST_BYTES:
            return
        self._seen += 1
        if len(self._kept) < _MOST:
            self._kept.append(header)
        elif (place := self._chance.randrange(self._seen)) < _MOST:
            self._kept[place] = header

    def stages_ms(self) -> dict[str, list[float]]:
        """Milliseconds of each stage, in the order in which the server names them."""
        found: dict[str, list[float]] = {}
        for header in self._kept:
            for name, value in _STAGE.findall(header):
                found.setdefault(name.decode(), []).append(float(value))
        return found
