"""Owns the tests of stand_ins.py and pickles.py: what may lie beside weights, and what is refused by its name."""

import argparse
import datetime
import decimal
import os
import pathlib
import random
import subprocess
import sys
import types
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.checkpoints.read import open_file, open_tensors
from app.checkpoints.stand_ins import STAND_INS
from app.errors import PackageError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}
HARMLESS: dict[str, Any] = {
    "a numpy scalar": np.float64(81.2),
    "another": [np.float32(1), np.int64(3), np.bool_(True), np.str_("x")],
    "a numpy array": np.arange(5),
    "arrays of objects": np.array([1, "a"], dtype=object),
    "random states": {"numpy": np.random.default_rng(0), "old": np.random.get_state(), "python": random.getstate()},
    "a namespace": argparse.Namespace(lr=0.1, out=pathlib.Path("runs"), seed=np.int64(3)),
    "another namespace": types.SimpleNamespace(x=1),
    "paths": [pathlib.Path("a/b"), pathlib.PureWindowsPath("c")],
    "times": [
        datetime.datetime(2026, 11, 28, 5, tzinfo=datetime.UTC),
        datetime.date(2026, 11, 28),
        datetime.timedelta(seconds=3),
    ],
    "a decimal": decimal.Decimal("0.1"),
    "collections": [deque([1, 2], maxlen=3), Counter("aab"), {1, 2}, frozenset({3}), range(3), slice(1, 2)],
    "a default dictionary": defaultdict(list, {"loss": [1.0, 2.0]}),
    "nested": defaultdict(dict, {"a": defaultdict(float, {"b": 1.0})}),
    "a version": torch.__version__,
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_harmless_may_lie_beside_the_weights(what: str, zipped: bool, tmp_path: Path):
    document = {"state_dict": STATE, "beside": HARMLESS[what], "best": {"deep": [HARMLESS[what]]}}
    torch.save(document, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    opened = open_file(tmp_path / "w.pth")
    assert opened.tensors.keys() == STATE.keys()
    assert all(torch.equal(opened.tensors[name].read(), tensor) for name, tensor in STATE.items())
    assert opened.remarks == ()


def test_a_class_that_is_not_installed_is_no_obstacle(tmp_path: Path):
    """Written in a process that has the library; here there is none of that name."""
    code = """
import sys, types, torch
module = types.ModuleType("easydict")
class EasyDict(dict):
    def __setattr__(self, name, value):
        super().__setattr__(name, value); super().__setitem__(name, value)
EasyDict.__module__, EasyDict.__qualname__ = "easydict", "EasyDict"
module.EasyDict = EasyDict; sys.modules["easydict"] = module
options = EasyDict(lr=0.1); options.name = "run"
torch.save({"model": {"a.bias": torch.ones(2)}, "cfg": options}, sys.argv[1])
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "w.pth")], check=True, timeout=60)
    assert open_tensors(tmp_path / "w.pth").keys() == {"a.bias"}


class Call:
    """Whose reading would call something with arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


class Settings:
    """A class of somebody's script."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("beside", "name"),
    [
        (Settings(), "test_read_classes.Settings"),
        (Call(os.system, "true"), "posix.system"),
        (Call(eval, "1"), "eval"),
        (Call(getattr, argparse.Namespace(), "x"), "getattr"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (torch.nn.functional.gelu, "gelu"),
    ],
)
def test_what_could_run_code_is_refused_by_its_name(beside: Any, name: str, zipped: bool, tmp_path: Path):
    torch.save({"model": STATE, "x": beside}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(PackageError) as caught:
        open_tensors(tmp_path / "w.pth")
    text = str(caught.value)
    assert name in text
    assert "could run foreign code" in text
    assert "torch.save(model.state_dict()" in text
    assert not [word for word in ("weights_only", "WeightsUnpickler", "add_safe_globals", "\n") if word in text]


def test_a_name_that_is_allowed_calls_nothing(tmp_path: Path):
    """Even a constructor that would do harm with these arguments: the stand-in drops them."""
    torch.save({"model": STATE, "x": Call(pathlib.Path, tmp_path, "made")}, tmp_path / "w.pth")
    made = {name: stand_in("x", y=1) for stand_in, name in STAND_INS if name.startswith(("pathlib", "numpy"))}
    assert len(made) > 20
    assert not [each for each in made.values() if isinstance(each, os.PathLike | np.generic | np.ndarray)]
    assert open_tensors(tmp_path / "w.pth").keys() == STATE.keys()


def test_other_protocols_and_whole_networks_are_refused_in_our_words(tmp_path: Path):
    torch.save(STATE, tmp_path / "four.pth", pickle_protocol=4)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    torch.save(argparse.Namespace(), tmp_path / "options.pth")
    torch.save({"model": {"a": np.ones(3)}}, tmp_path / "arrays.pth")
    for name, words in (
        ("four.pth", "another protocol"),
        ("whole.pth", "'torch.nn.modules.linear.Linear'"),
        ("options.pth", "holds an object of a class"),
        ("arrays.pth", "holds no tensors by name, only 'model'"),
    ):
        with pytest.raises(PackageError, match=words):
            open_tensors(tmp_path / name)
