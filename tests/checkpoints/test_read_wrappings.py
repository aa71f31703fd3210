"""Owns the tests of wrappings.py: which of a training script's dictionaries is read, and what is said of the rest."""

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from app.checkpoints.load import ConvertOptions, read_checkpoint
from app.checkpoints.read import open_file
from app.errors import PackageError
from tests.checkpoints.networks import KINDS, drawn

State = dict[str, Tensor]
A: State = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}
B: State = {name: value + 100 for name, value in A.items()}
ADAM: dict[str, Any] = {"state": {0: {"step": torch.ones(1), "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}


def read(folder: Path, document: Any, expected: State = A) -> tuple[str, ...]:
    """That the file gives just these tensors; the remarks."""
    torch.save(document, folder / "w.pth")
    opened = open_file(folder / "w.pth")
    assert opened.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(opened.tensors[name].read(), tensor), name
    return opened.remarks


@pytest.mark.parametrize(
    "key",
    ["model", "state_dict", "model_state_dict", "net", "network", "weights", "params", "teacher", "module", "my_own"],
)
@pytest.mark.parametrize("inner", [None, "state_dict", "module", "model"])
def test_a_wrapper_of_any_name_is_opened(key: str, inner: str | None, tmp_path: Path):
    state = OrderedDict(A)
    assert (
        read(tmp_path, {"epoch": 3, key: state if inner is None else {inner: state, "n": 1}, "optimizer": ADAM}) == ()
    )


@pytest.mark.parametrize("key", ["optimizer", "optimizer_state_dict", "lr_scheduler", "callbacks", "amp", "rng_states"])
def test_what_training_keeps_for_itself_is_no_network(key: str, tmp_path: Path):
    assert read(tmp_path, {"net": A, key: {f"p{i}": torch.ones(1) for i in range(9)}, "best": torch.tensor(0.9)}) == ()


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema"])
@pytest.mark.parametrize("raw", ["state_dict", "model", "net", "model_state_dict"])
def test_averaged_weights_are_taken_and_it_is_said(key: str, raw: str, tmp_path: Path):
    for document in ({raw: B, key: A}, {key: {"module": A, "decay": 0.9}, raw: B, "optimizer": ADAM}):
        assert read(tmp_path, document) == (f"the averaged weights (EMA) are taken, {key!r}, not {raw!r}",)
    assert read(tmp_path, {key: A, "epoch": 3}) == (f"the averaged weights (EMA) are taken, {key!r}",)
    assert read(tmp_path, {raw: A, key: None}) == ()


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        (("model_ema", "state_dict_ema"), "state_dict_ema"),
        (("model", "state_dict"), "state_dict"),
        (("model_state_dict", "model"), "model"),
        (("teacher", "model"), "model"),
    ],
)
def test_of_two_the_one_that_timm_takes(keys: tuple[str, str], taken: str, tmp_path: Path):
    (remark,) = read(tmp_path, {key: A if key == taken else B for key in keys})
    (left,) = {*keys} - {taken}
    assert repr(taken) in remark.partition("not")[0]
    assert repr(left) in remark.partition("not")[2]


def test_an_average_without_names_is_left_out_and_said(tmp_path: Path):
    document = {"model": A, "ema": {"decay": 0.99, "shadow_params": [*B.values()]}}
    assert read(tmp_path, document) == ("the averaged weights in 'ema' have no names and are left out",)
    assert read(tmp_path, {"model": A, "ema": 0.999}) == ()


def test_dictionaries_of_which_no_name_decides_are_all_taken_under_their_names(tmp_path: Path):
    read(tmp_path, {"body": A, "head": B}, {f"{n}.{k}": v for n, s in (("body", A), ("head", B)) for k, v in s.items()})


def test_of_networks_of_which_no_name_decides_none_is_guessed(tmp_path: Path):
    states = [dict(drawn(KINDS["plain"], seed).state_dict()) for seed in (0, 1)]
    torch.save(dict(zip(("first", "second"), states, strict=True)), tmp_path / "w.pth")
    with pytest.raises(PackageError, match=r"several networks in it \('first\.', 'second\.'\)"):
        read_checkpoint(tmp_path / "w.pth")
    torch.save(dict(zip(("student", "teacher"), states, strict=True)), tmp_path / "w.pth")
    result = read_checkpoint(tmp_path / "w.pth", ConvertOptions(heads=4))
    assert torch.equal(result.package.network.state_dict()["cls_token"], states[1]["cls_token"])
    assert "of several networks the one under 'teacher.' is taken, not 'student.'" in result.remarks


def test_tensors_beside_a_dictionary_of_fewer_are_the_network(tmp_path: Path):
    assert read(tmp_path, {**A, "ema": {"decay": torch.tensor(0.9)}}) == ("left out: 'ema', which holds tensors, too",)


def test_a_dictionary_that_holds_itself_or_one_many_times_ends(tmp_path: Path):
    loop: dict[str, Any] = {"net": A}
    loop["again"] = loop
    torch.save(loop, tmp_path / "w.pth")
    assert {"net.a.bias", "net.a.weight"} <= open_file(tmp_path / "w.pth").tensors.keys()
    shared: dict[str, Any] = {f"k{i}": A for i in range(300)}
    for _ in range(3):
        shared = {f"k{i}": shared for i in range(300)}
    torch.save(shared, tmp_path / "w.pth")
    with pytest.raises(PackageError, match="over 30000 tensors"):
        open_file(tmp_path / "w.pth")


def test_remarks_reach_whoever_loads(tmp_path: Path):
    state = dict(drawn(KINDS["plain"]).state_dict())
    torch.save({"model": B, "model_ema": state, "args": argparse.Namespace()}, tmp_path / "w.pth")
    result = read_checkpoint(tmp_path / "w.pth", ConvertOptions(heads=4))
    assert "the averaged weights (EMA) are taken, 'model_ema', not 'model'" in result.remarks
