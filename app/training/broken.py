"""Owns the files of a dataset that cannot be read as images, and how they are listed; does not read any."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """`data` and `name` say which file of which folder or zip, `reason` why it cannot be read."""

    data: str
    name: str
    reason: str


def listing(broken: Sequence[BrokenFile]) -> str:
    """A line for each of the first twenty, and how many more there are; for a terminal."""
    lines = [f"  {printable(file.name)}: {printable(file.reason)}" for file in broken[:_SHOWN]]
    if len(broken) > _SHOWN:
        lines.append(f"  and {len(broken) - _SHOWN:,} more")
    return "\n".join(lines)


def table(broken: Sequence[BrokenFile]) -> str:
    """A line for each: data, file and reason, with tabs between; for a file."""
    return "".join(f"{printable(file.data)}\t{printable(file.name)}\t{printable(file.reason)}\n" for file in broken)


def printable(text: str) -> str:
    """Escaped where it is no text: names come out of strangers' zips, and need not be UTF-8 on a disk."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
