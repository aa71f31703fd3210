"""Owns how timm is imported beside a torch without torchvision; does not stand in for anything that is compared.

timm needs torchvision to be importable: for its data loading, and for one normalisation layer that no Vision
Transformer has. PyPI's torchvision is built for another torch than the CPU's, so where there is none, names are put in
its place that do nothing.
"""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.parity.conftest import LIBRARIES

_REASON = "timm is not installed: `make parity` does it"


class _Names(ModuleType):
    """A module in which every name exists."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name == "FrozenBatchNorm2d" else MagicMock(name=f"{self.__name__}.{name}")


class _Torchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] == "torchvision" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Names(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is to be run."""


def import_timm() -> Any:
    """timm, as `make parity` installs it, or the test that asks is skipped, in CI failed, saying why."""
    sys.path.append(str(LIBRARIES / "timm"))  # last: of what is there twice the project's own is taken
    if os.environ.get("CI") and importlib.util.find_spec("timm") is None:
        pytest.fail(_REASON)
    finder = _Torchvision()
    if importlib.util.find_spec("torchvision") is None:
        sys.meta_path.append(finder)
    try:
        return pytest.importorskip("timm", reason=_REASON)
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
            for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
                del sys.modules[name]
