"""Owns the direction of imports: the contracts of pyproject.toml and what they cannot say; does not list layers."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
# Everything else is given its values by bootstrap, or by the command line above it.
MAY_READ_THE_ENVIRONMENT = ("settings.py", "cli")


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the direction"
            yield node.module or ""


def test_import_contracts() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([command, "--no-cache"], cwd=APP.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", sorted((APP / "scheduling").rglob("*.py")), ids=lambda path: path.name)
def test_scheduling_needs_only_the_standard_library(path: Path) -> None:
    ours = ("app.scheduling", "app.domain", "app.errors")
    foreign = [
        name
        for name in imported(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith(ours)
    ]
    assert not foreign


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(APP.rglob("*.py")) if p.relative_to(APP).parts[0] not in MAY_READ_THE_ENVIRONMENT],
    ids=lambda path: path.relative_to(APP).as_posix(),
)
def test_no_module_reads_the_environment_behind_the_settings(path: Path) -> None:
    readers = [
        f"line {node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]
    assert not readers
