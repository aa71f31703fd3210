"""Owns what a benchmark says: Markdown tables for people, JSON for programs; does not measure."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any, Final

_TOLERABLE_CORES: Final = 0.05  # of other work


class Table:
    """Rows under a title, and remarks below. The first row names the columns."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.notes: list[str] = []
        self._rows: list[dict[str, object]] = []

    def row(self, **cells: object) -> None:
        """Adds a row; an underscore in a column's name shows as a space, two as a stroke."""
        self._rows.append(cells)

    def note(self, sentence: str) -> None:
        """Adds a remark, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def markdown(self) -> str:
        """Ready to be pasted."""
        lines = [f"**{self.title}**", ""]
        if self._rows:
            names = list(self._rows[0])
            heads = [name.replace("__", "/").replace("_", " ") for name in names]
            lines += ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(names) - 1) + "|"]
            lines += ["| " + " | ".join(cell(row.get(name)) for name in names) + " |" for row in self._rows]
            lines.append("")
        return "\n".join(lines + self.notes)


class Report:
    """The tables of one run, and every figure as JSON in `path` if there is one.

    The file is written after each section, and sections of earlier runs stay in it until they are measured again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._tables: dict[str, Table] = {}
        self._other_work: dict[str, float] = {}

    def table(self, title: str) -> Table:
        """The table of that title, new or begun."""
        if title not in self._tables:
            self._tables[title] = Table(title)
        return self._tables[title]

    def record(self, section: str, figures: Any) -> None:
        """Adds figures to the JSON file."""
        if self._path is None:
            return
        document = json.loads(self._path.read_text()) if self._path.exists() else {}
        document[section] = {"measured": _conditions(), "figures": figures}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(document, indent=2) + "\n")

    def other_work(self, test: str, cores: float) -> None:
        """What ran beside a test, in cores."""
        self._other_work[test] = cores
        self.record("other_work", self._other_work)

    def markdown(self) -> str:
        """All tables, and which of them to distrust."""
        parts = [table.markdown() for table in self._tables.values()]
        busy = [
            f"BUSY: during {test} other work took {cores:.2f} cores; take it again."
            for test, cores in self._other_work.items()
            if cores > _TOLERABLE_CORES
        ]
        if busy:
            parts.append("\n".join(busy))
        return "\n\n".join(parts)


def _conditions() -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
        "python": platform.python_version(),
    }


def processor() -> str:
    """The processor's name as Linux has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def cell(value: object) -> str:
    """A figure with as many digits as mean something; text as it is."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"
    return str(value)


def verdict(value: float, target: float, *, at_most: bool) -> str:
    """Whether a target was met, in words."""
    met = value <= target if at_most else value >= target
    return f"target {'≤' if at_most else '≥'} {target:g} {'met' if met else 'MISSED'}"
