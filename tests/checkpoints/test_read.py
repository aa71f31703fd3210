"""Owns the tests of read.py: what is read, and what is refused without being executed or allocated."""

import argparse
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from app.checkpoints.read import StoredTensor, open_tensors
from app.checkpoints.stacked_layers import unstacked
from app.errors import PackageError

STATE = {"a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3), "a.bias": torch.ones(2)}


class Attack:
    """Whose reading would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(PackageError) as caught:
        for tensor in open_tensors(path).values():
            tensor.read()
    for word in (str(path), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"model": x}, lambda x: {"state_dict": {"weights": x, **x}}])
@pytest.mark.parametrize("shell", ["module.", "_orig_mod.module.", "module._orig_mod."])
def test_torch_files_of_both_kinds_wrapped_or_not(zipped: bool, wrap: Callable[[Any], Any], shell: str, tmp_path: Path):
    shelled = {f"{shell}{name}": tensor for name, tensor in STATE.items()}
    torch.save(wrap(shelled), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    stored = open_tensors(tmp_path / "w.pth")
    assert stored.keys() == STATE.keys()
    assert all(torch.equal(stored[name].read(), tensor) for name, tensor in STATE.items())
    assert stored["a.weight"].shape == (2, 3)


def test_a_training_scripts_options_beside_the_weights_are_no_danger(tmp_path: Path):
    torch.save({"model": STATE, "args": argparse.Namespace(lr=0.1), "epoch": 3}, tmp_path / "w.pth")
    assert open_tensors(tmp_path / "w.pth").keys() == STATE.keys()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_executed(zipped: bool, tmp_path: Path):
    mark = tmp_path / "executed"
    torch.save({**STATE, "x": Attack(mark)}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "w.pth", "could run foreign code")
    assert not mark.exists()
    torch.load(tmp_path / "w.pth", weights_only=False)  # the attack is a real one
    assert mark.exists()


def test_a_bare_malicious_pickle_is_refused(tmp_path: Path):
    mark = tmp_path / "executed"
    (tmp_path / "w.bin").write_bytes(pickle.dumps(Attack(mark)))
    refused(tmp_path / "w.bin")
    assert not mark.exists()


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path):
    torch.save({"a": torch.ones(1).expand(2**20, 2**20)}, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", "'a' declares shape (1048576, 1048576), more than the file holds")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}, "text", torch.ones(2)])
def test_a_torch_file_of_something_else(content: Any, tmp_path: Path):
    torch.save(content, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", "holds")


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "npz"])
def test_a_file_that_is_cut_short(suffix: str, tmp_path: Path):
    path = tmp_path / f"w.{suffix}"
    state = {"a": torch.randn(1000)}
    if suffix == "pth":
        torch.save(state, path)
    elif suffix == "safetensors":
        save_file(state, path)
    else:
        np.savez(path, a=state["a"].numpy())
    path.write_bytes(path.read_bytes()[:-700])
    refused(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n", b"x" * 100, b"\x80", b"PK\x03\x04", b"\x08" + b"\0" * 7 + b"{"]
)
def test_a_file_of_another_kind(content: bytes, tmp_path: Path):
    (tmp_path / "w.pth").write_bytes(content)
    refused(tmp_path / "w.pth")


def test_npz_with_jaxs_bfloat16(tmp_path: Path):
    values = torch.tensor([1.5, -2.25, 1e20]).bfloat16()
    arrays: dict[str, Any] = {"a/b": values.view(torch.int16).numpy().view("V2")}
    np.savez(tmp_path / "w.npz", **arrays)
    (stored,) = open_tensors(tmp_path / "w.npz").values()
    assert (stored.shape, stored.dtype) == ((3,), torch.bfloat16)
    assert torch.equal(stored.read(), values)


def test_npz_with_objects_is_refused_and_not_executed(tmp_path: Path):
    mark = tmp_path / "executed"
    np.savez(tmp_path / "w.npz", a=np.array([Attack(mark)], dtype=object))
    refused(tmp_path / "w.npz", "'a'", "could run foreign code")
    assert not mark.exists()


def test_npz_whose_header_declares_more_than_there_is(tmp_path: Path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)})
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue() + b"\0" * 8)
    refused(tmp_path / "w.npz", "'a' declares 4398046511104 bytes in its header, but holds 8")


def test_a_compressed_bomb_is_refused(tmp_path: Path):
    np.savez_compressed(tmp_path / "w.npz", a=np.zeros(10_000_000, np.float32))
    refused(tmp_path / "w.npz", "declares 40000")


def test_a_damaged_compressed_array_is_told(tmp_path: Path):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, a=np.arange(4096, dtype=np.float32))
    data = bytearray(path.read_bytes())
    data[400:440] = bytes(40)
    path.write_bytes(bytes(data))
    with pytest.raises(PackageError, match="is broken|is no numpy array"):
        for stored in open_tensors(path).values():
            stored.read()


def test_a_stack_of_more_layers_than_any_network_is_refused():
    claim = StoredTensor((10**9, 0), torch.float32, lambda: torch.zeros(0))
    with pytest.raises(PackageError, match="1000000000 layers"):
        unstacked({"Transformer/encoderblock/LayerNorm_0/scale": claim})
