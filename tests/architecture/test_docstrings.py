"""Owns the rule that every module says what it owns and what it leaves to others; does not read further docstrings."""

import ast
import re
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
CLIENT = APP.parent / "clients/python/vit_client"
MODULES = sorted([*APP.rglob("*.py"), *CLIENT.rglob("*.py")])
SHORTER = ("__init__.py", "__main__.py")
FORBIDDEN = ("utils", "util", "helpers", "helper", "common", "misc", "manager")


def module_id(path: Path) -> str:
    return path.relative_to(APP.parent).as_posix()


@pytest.mark.parametrize("path", [path for path in MODULES if path.name not in SHORTER], ids=module_id)
def test_a_module_says_what_it_owns_and_what_it_does_not(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    assert re.match(r"Owns .+; .*\b(not|no|never|nothing|nor)\b", paragraph), (
        f"{module_id(path)} must begin with 'Owns …; does not …', not with: {paragraph[:100]!r}"
    )


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_a_name_says_what_is_inside(path: Path) -> None:
    words = {word for part in path.relative_to(APP.parent).with_suffix("").parts for word in part.split("_")}
    assert not words & set(FORBIDDEN), f"{module_id(path)}: a name for anything is a place for everything"
