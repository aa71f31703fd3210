"""Owns how answers are written for people and programs; does not compute any."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.api.answer import result_document
from app.domain import Activation, Classification

_NO_TERMINAL_COLUMNS: Final = 1000  # tables are as wide as their content, and a file need not be cut to a screen


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one image has no answer: a sentence, and a stable code."""

    error: str
    code: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one image."""

    path: str
    outcome: Classification | Failure


def write_json(results: Sequence[Result]) -> None:
    """One array of objects as the HTTP interface answers them, with the path added."""
    write_json_value([{"path": result.path, **_as_http(result.outcome)} for result in results])


def write_json_value(value: Any) -> None:
    """Any JSON value, readable."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(results: Sequence[Result]) -> None:
    """One row a prediction; an image that failed has one row without rank, with code and error at its end."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", "rank", "label", "index", "score", "code", "error"))
    for result in results:
        if isinstance(result.outcome, Failure):
            writer.writerow((result.path, "", "", "", "", result.outcome.code, result.outcome.error))
            continue
        digits = ".9g" if result.outcome.activation == "none" else ".6f"
        for rank, p in enumerate(result.outcome.predictions, start=1):
            writer.writerow((result.path, rank, p.label, p.index, f"{p.score:{digits}}", "", ""))


def write_table(results: Sequence[Result]) -> None:
    """One line a prediction, the file and its milliseconds on the first of each."""
    rows: list[tuple[str, ...]] = []
    for result in results:
        if isinstance(result.outcome, Failure):
            rows.append((result.path, f"{result.outcome.code}: {result.outcome.error}", "", ""))
            continue
        for rank, p in enumerate(result.outcome.predictions):
            first = rank == 0
            ms = f"{result.outcome.timing.total_ms:.1f}" if first else ""
            score = _score(p.score, result.outcome.activation)
            rows.append((result.path if first else "", p.label, score, ms))
    write_rows(("file", "label", "score", "ms"), rows, numbers=("score", "ms"))


def write_rows(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """A plain table; columns named in `numbers` are set to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in head:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # as Text: a bracket in a file name is no markup
    Console(width=None if sys.stdout.isatty() else _NO_TERMINAL_COLUMNS).print(table)


def _score(score: float, activation: Activation) -> str:
    return f"{score:.4g}" if activation == "none" else f"{100 * score:.1f} %"


def _as_http(outcome: Classification | Failure) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return {"error": outcome.error, "code": outcome.code}
    return result_document(outcome)
