"""Owns where the answers of `classify` go: the screen, or a file that is gone on with; does not make answers."""

import json
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Final, Literal, Protocol

from app.bulk.images import Image
from app.cli.classify_lines import Csv, JsonLines, Lines, Outcome
from app.cli.results import Result, document, write_table

Format = Literal["table", "json", "jsonl", "csv", "parquet"]
_IN_A_TABLE: Final = 1000  # of more images a table is several, or it would take memory without a bound
_EVERY_S: Final = 1.0


class Output(Protocol):
    """Where answers go."""

    def is_new(self, name: str) -> bool:
        """Whether this image is to be answered; asked once for each, before it is."""
        ...

    def write(self, image: Image, outcome: Outcome) -> None:
        """Adds an answer."""
        ...

    def close(self, *, finished: bool) -> None:
        """Nothing comes any more; `finished`: because all inputs are done."""
        ...


class Screen:
    """Standard output. Answers are not kept, so what is named twice is answered twice."""

    def __init__(self, form: Format, top_k: int, before: Callable[[], None] = lambda: None) -> None:
        """`before`: called when something is about to be shown."""
        self._lines: Lines | None = JsonLines() if form == "jsonl" else Csv(top_k) if form == "csv" else None
        self._is_table, self._before = form == "table", before
        self._table = list[Result]()
        self._count, self._flushed_at = 0, time.monotonic()
        if self._lines is not None:
            sys.stdout.write(self._lines.head)

    def is_new(self, name: str) -> bool:
        """Always."""
        return True

    def write(self, image: Image, outcome: Outcome) -> None:
        """Raises BrokenPipeError once the reader has left."""
        result = Result(image.id, outcome)
        self._count += 1
        if self._is_table:
            self._table.append(result)
            if len(self._table) == _IN_A_TABLE:
                self._show_table()
        elif self._lines is not None:
            self._before()
            sys.stdout.write(self._lines.text(image, outcome))
        else:
            self._before()
            value = textwrap.indent(json.dumps(document(result), indent=1, ensure_ascii=False), " ")
            sys.stdout.write(("[\n" if self._count == 1 else ",\n") + value)
        if (now := time.monotonic()) - self._flushed_at > _EVERY_S:
            self._flushed_at = now
            sys.stdout.flush()

    def close(self, *, finished: bool) -> None:
        """Completes the table or the JSON array, however many there are."""
        if self._is_table:
            if self._table or not self._count:
                self._show_table()
        elif self._lines is None:
            sys.stdout.write("\n]\n" if self._count else "[]\n")
        sys.stdout.flush()

    def _show_table(self) -> None:
        self._before()
        write_table(self._table)
        self._table.clear()
