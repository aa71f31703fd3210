"""Owns how answers are written for people and programs; does not compute any."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.api.answer import result_document
from app.bulk.answers import Failure
from app.domain import Activation, Classification

CSV_HEAD: Final = ("path", "rank", "label", "index", "score", "code", "error")
_NO_TERMINAL_COLUMNS: Final = 1000  # tables are as wide as their content, and a file need not be cut to a screen


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one image."""

    path: str
    outcome: Classification | Failure


def document(result: Result) -> dict[str, Any]:
    """As the HTTP interface answers, with the path before it."""
    outcome = result.outcome
    told = {"error": outcome.error, "code": outcome.code} if isinstance(outcome, Failure) else result_document(outcome)
    return {"path": result.path, **told}


def json_line(value: Any) -> str:
    """One JSON value in one line."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def write_json_value(value: Any) -> None:
    """Any JSON value, readable."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def csv_lines(result: Result) -> str:
    """One row a prediction, as in `CSV_HEAD`; an image that failed has one without rank, with code and error."""
    outcome = result.outcome
    if isinstance(outcome, Failure):
        return csv_text([(result.path, "", "", "", "", outcome.code, outcome.error)])
    digits = ".9g" if outcome.activation == "none" else ".6f"
    return csv_text(
        [
            (result.path, rank, p.label, p.index, f"{p.score:{digits}}", "", "")
            for rank, p in enumerate(outcome.predictions, start=1)
        ]
    )


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    """Rows as comma separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


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
