"""Owns sets of names that only grow, a million in 32 MB; does not give them back."""

from array import array
from collections import Counter
from hashlib import blake2b
from typing import Final

_FIRST: Final = 1024


class Names:
    """Of each the first 64 bits of a digest: of a million names two are taken for one in 1 of 30 million sets.

    A table with at least half its places free: 16 to 32 bytes a name, where Python's set of strings has some 150.
    """

    def __init__(self) -> None:
        self._places, self._count = array("Q", bytes(8 * _FIRST)), 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: str) -> bool:
        return self._places[self._place(_digest(name))] != 0

    def add(self, name: str) -> bool:
        """Whether it is new."""
        digest = _digest(name)
        place = self._place(digest)
        if self._places[place]:
            return False
        self._places[place] = digest
        self._count += 1
        if 2 * self._count > len(self._places):
            before, self._places = self._places, array("Q", bytes(16 * len(self._places)))
            for digest in before:
                if digest:
                    self._places[self._place(digest)] = digest
        return True

    def _place(self, digest: int) -> int:
        """Where it is, or would be."""
        places, last = self._places, len(self._places) - 1
        place = digest & last
        while places[place] not in (0, digest):
            place = (place + 1) & last
        return place


class Numbered:
    """Names that stay what they are the first time, and have a number after that: `name@2`."""

    def __init__(self) -> None:
        self._seen, self._again = Names(), Counter[str]()

    def number(self, name: str) -> str:
        """What it is called among all so far."""
        if self._seen.add(name):
            return name
        self._again[name] += 1
        return f"{name}@{self._again[name] + 1}"


def _digest(name: str) -> int:
    """Never 0, which is a free place."""
    raw = name.encode(errors="surrogateescape")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "little") or 1
