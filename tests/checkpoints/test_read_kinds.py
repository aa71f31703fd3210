"""Owns the tests of kinds.py and of the bounds: files that are no weights are named, with what to do next."""

import io
import json
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.checkpoints.folder import open_files
from app.checkpoints.load import read_checkpoint
from app.checkpoints.read import open_tensors
from app.checkpoints.stored import MOST_TENSORS
from app.errors import PackageError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 346293852\n"


def refused(path: Path, *words: str) -> None:
    with pytest.raises(PackageError) as caught:
        open_files(path)
    for word in (str(path), *words):
        assert word in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "pytorch_model.bin", "w"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS, ("Git LFS pointer", "git lfs pull")),
        (b"/annex/objects/SHA256E-s12--aa.pth\n", ("git-annex", "git annex get")),
        (b"<!DOCTYPE html>\n<html><head><title>Login</title>", ("HTML", "login")),
        (b"\n  <!-- x -->\n<HTML lang='en'>", ("HTML", "login")),
        (b"GGUF\x03\0\0\0" + bytes(40), ("GGUF", "save the weights")),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), ("HDF5", "save the weights")),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.3.0:", ("ONNX", "save the weights")),
        (b"\x81\xa6params\x83\xaaclassifier", ("msgpack", "save the weights")),
        (b"\x1c\0\0\0TFL3" + bytes(40), ("TensorFlow Lite", "save the weights")),
        (b"\x1f\x8b\x08\0" + bytes(40), ("packed archive", "unpack")),
        (b"x.pth" + bytes(252) + b"ustar\x0000", ("packed archive", "unpack")),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", ("single numpy array", "npz")),
        (b'{"error": "Repository not found"}', ("JSON", "download")),
        (b'<?xml version="1.0"?>\n<net name="Model0">', ("XML", "OpenVINO")),
        (b"", ("empty", "download it again")),
    ],
)
def test_a_file_of_another_kind_is_named(name: str, content: bytes, words: tuple[str, ...], tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, *words)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("m/constants.pkl", ("TorchScript", "torch.jit.load")),
        ("archive/models/model.json", ("torch.export", "state_dict")),
        ("model.weights.h5", ("Keras",)),
        ("folder/config.json", ("zip archive without weights", "unpack")),
    ],
)
def test_an_archive_of_another_kind_is_named(member: str, words: tuple[str, ...], tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr(member, b"x")
    refused(tmp_path / "w.pt", *words)


def test_a_torchscript_archive_of_torchs_own_is_named(tmp_path: Path):
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(tmp_path / "w.pt"))
    refused(tmp_path / "w.pt", "TorchScript")


def test_an_adapter_without_its_base_is_named(tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "google/vit-base"}))
    save_file({"base_model.model.x.lora_A.weight": torch.ones(1)}, tmp_path / "adapter_model.safetensors")
    refused(tmp_path, "LoRA", "'google/vit-base'", "merge_and_unload")
    (tmp_path / "adapter_config.json").write_text("[")
    refused(tmp_path, "LoRA", "without its base network")
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    (remark,) = open_files(tmp_path).remarks
    assert "adapter" in remark


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tf_model.h5", "Keras"),
        ("flax_model.msgpack", "flax"),
        ("model.onnx", "ONNX"),
        ("vit.gguf", "GGUF"),
        ("saved_model.pb", "TensorFlow"),
        ("__0_0.distcp", "dcp_to_torch_save"),
    ],
)
def test_a_folder_of_another_library_is_named(name: str, kind: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"x")
    refused(tmp_path, "no weights of PyTorch", repr(name), kind)


def test_a_refusal_holds_no_control_characters(tmp_path: Path):
    evil = "\x1b[2J\x1b]0;owned\x07\r\n\u202eab\u2028"
    save_file({f"{evil}{i}": torch.ones(1) for i in range(3)}, tmp_path / "w.safetensors")
    with pytest.raises(PackageError) as caught:
        read_checkpoint(tmp_path / "w.safetensors")
    assert str(caught.value).isprintable()
    torch.save({f"{evil}{i}": i for i in range(3)}, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", "\\x1b")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": f"{evil}.safetensors"}}))
    refused(tmp_path, "\\x1b")


@pytest.mark.parametrize("kind", ["safetensors", "zip", "old", "npz"])
def test_more_tensors_than_any_network_are_refused_before_they_are_read(kind: str, tmp_path: Path):
    path, count = tmp_path / "w.pth", 2 * MOST_TENSORS
    if kind == "safetensors":
        save_file({str(i): torch.zeros(1) for i in range(count)}, path)
    elif kind == "old":  # as torch.save goes on after each storage
        path.write_bytes(b"\x80\x02" + b"QK\x00K\x01\x85" * count)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w/data.pkl" if kind == "zip" else "first.npy", b"\x80\x02N.")
            for i in range(count):
                archive.writestr(f"w/data/{i}" if kind == "zip" else f"{i}.npy", b"")
    start = time.process_time()
    refused(path, "over 30000 tensors")
    assert time.process_time() - start < 5


def test_as_many_tensors_as_are_allowed_are_read_in_the_older_form(tmp_path: Path):
    file = io.BytesIO()
    torch.save({str(i): torch.zeros(1) for i in range(200)}, file, _use_new_zipfile_serialization=False)
    pickled = file.getvalue()
    assert pickled.count(b"QK\x00") == 200  # what the bound counts
    (tmp_path / "w.pth").write_bytes(pickled)
    assert len(open_tensors(tmp_path / "w.pth")) == 200


def test_random_weights_of_the_older_form_are_not_taken_for_tensors(tmp_path: Path):
    torch.save({"a": torch.randint(0, 256, (40_000_000,), dtype=torch.uint8)}, tmp_path / "w.pth",
               _use_new_zipfile_serialization=False)  # fmt: skip
    assert open_tensors(tmp_path / "w.pth").keys() == {"a"}
