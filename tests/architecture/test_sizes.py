"""Owns the budgets of size: 300 lines a file, 60 a function, 7 parameters; does not judge style."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("app", "tests", "clients/python") for path in (ROOT / folder).rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7

# "path" or "path::function" → why it may be larger. An entry that is no longer needed fails.
EXCEPTIONS: dict[str, str] = {}


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with its qualified name, nested ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node
        inside = (
            f"{prefix}{node.name}."
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else prefix
        )
        yield from functions(node, inside)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many a caller may give; `self` and `cls` are not given by a caller."""
    every = function.args.posonlyargs + function.args.args
    own = [arg for arg in every if arg.arg not in ("self", "cls")] + function.args.kwonlyargs
    return len(own) + sum(arg is not None for arg in (function.args.vararg, function.args.kwarg))


def oversized(path: Path) -> Iterator[tuple[str, str]]:
    """(place, complaint) for everything in one file that is over its budget."""
    name, text = path.relative_to(ROOT).as_posix(), path.read_text()
    lines = len(text.splitlines())
    if lines > MAX_FILE_LINES:
        yield name, f"{lines} lines, {MAX_FILE_LINES} at most: split it by owner"
    for function_name, node in functions(ast.parse(text)):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            yield f"{name}::{function_name}", f"{length} lines, {MAX_FUNCTION_LINES} at most"
        if (count := parameters(node)) > MAX_PARAMETERS:
            yield f"{name}::{function_name}", f"{count} parameters, {MAX_PARAMETERS} at most: group them in a dataclass"


def test_nothing_is_over_its_budget_unless_listed_with_a_reason() -> None:
    found = [(place, complaint) for path in FILES for place, complaint in oversized(path)]
    over = [f"{place}: {complaint}" for place, complaint in found if place not in EXCEPTIONS]
    assert not over, "\n".join(over)
    assert not (stale := EXCEPTIONS.keys() - {place for place, _ in found}), f"no longer over budget: {sorted(stale)}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\n" * 301, ["301 lines"]),
        ("x = 1\n" * 300, []),
        ("class A:\n    def f(self):\n" + "        x = 1\n" * 60, ["61 lines"]),
        ("class A:\n    def f(self):\n" + "        x = 1\n" * 59, []),
        ("async def f(a, /, b, c, *, d, e, f, g, **h): ...", ["8 parameters"]),
        ("class A:\n    def f(self, a, /, b, c, *, d, e, f, g): ...", []),
        ("if 1:\n    def f():\n        def g(a, b, c, d, e, f, g, h): ...", ["8 parameters"]),
    ],
)
def test_the_budgets_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: list[str]
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(source)
    complaints = [complaint for _, complaint in oversized(tmp_path / "a.py")]
    assert len(complaints) == len(expected)
    assert all(complaint.startswith(start) for complaint, start in zip(complaints, expected, strict=True))
