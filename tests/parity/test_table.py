"""Owns the proof that the tests named in README.md are there; runs none of them."""

import re
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`((?:\.\./checkpoints/)?test_\w+\.py)::(test_\w+)((?:\[[^\]]+\])?`(?:, `\[[^\]]+\]`)*)")


def cases(function: Any) -> set[str]:
    """The ids that pytest makes of one test's parametrisation."""
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    columns = []
    for mark in marks:
        names = mark.args[0] if isinstance(mark.args[0], tuple) else (mark.args[0],)
        rows = [row if isinstance(row, tuple) and len(names) > 1 else (row,) for row in mark.args[1]]
        columns.append(
            [
                "-".join(v if isinstance(v, str) else f"{n}{i}" for n, v in zip(names, row, strict=True))
                for i, row in enumerate(rows)
            ]
        )
    return {"-".join(parts) for parts in product(*columns)}


def test_every_test_named_in_the_table_exists():
    found = NAMED.findall(TEXT)
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and "how it is told" not in line]
    assert len(rows) >= 18
    assert all(NAMED.search(row) for row in rows)
    for file, name, ids in found:
        path = (FOLDER / file).resolve().relative_to(FOLDER.parents[1]).with_suffix("")
        function = getattr(import_module(".".join(path.parts)), name)
        for case in re.findall(r"\[([^\]]+)\]", ids):
            assert case in cases(function), f"{file}::{name} has no case {case}"


def test_no_test_is_named_that_the_pattern_does_not_see():
    assert len(NAMED.findall(TEXT)) == len(re.findall(r"test_\w+\.py::", TEXT))
