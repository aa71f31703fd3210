"""Owns the tests of folder.py."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.checkpoints.folder import open_files
from app.errors import PackageError


def weights(path: Path, *names: str) -> Path:
    save_file({name: torch.ones(2) for name in names or ("a",)}, path)
    return path


def test_a_name_with_the_right_hash_is_verified(tmp_path: Path):
    path = weights(tmp_path / "w.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    named = path.rename(tmp_path / f"jx_vit-{digest[:8]}.safetensors")
    assert open_files(named).sha256 == {named.name: digest}


def test_a_name_with_another_hash_is_refused(tmp_path: Path):
    path = weights(tmp_path / "jx_vit_base_p16_224-80ecf9dd.safetensors")
    with pytest.raises(PackageError, match="SHA-256 begins with 80ecf9dd, but it is"):
        open_files(path)


def index(folder: Path, where: object, name: str = "model.safetensors.index.json") -> None:
    (folder / name).write_text(json.dumps({"weight_map": where}))


def test_shards_are_joined_by_their_index(tmp_path: Path):
    weights(tmp_path / "one.safetensors", "a", "b")
    weights(tmp_path / "two.safetensors", "c")
    index(tmp_path, {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"})
    files = open_files(tmp_path)
    assert files.tensors.keys() == {"a", "b", "c"}
    assert files.sha256.keys() == {"one.safetensors", "two.safetensors"}


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"a": "../one.safetensors"}, "is no file beside it"),
        ({"a": "/etc/passwd"}, "is no file beside it"),
        ({"a": "absent.safetensors"}, "absent.safetensors is not there"),
        ({"x": "one.safetensors"}, "'x' is not in one.safetensors"),
        ({"a": 3}, "there is no weight_map"),
        ([], "there is no weight_map"),
    ],
)
def test_an_index_that_is_wrong(where: object, words: str, tmp_path: Path):
    weights(tmp_path / "one.safetensors")
    index(tmp_path, where)
    with pytest.raises(PackageError, match=words):
        open_files(tmp_path)


def test_a_folder_without_weights_or_with_several(tmp_path: Path):
    with pytest.raises(PackageError, match="there are no weights"):
        open_files(tmp_path)
    weights(tmp_path / "a.safetensors")
    assert open_files(tmp_path).tensors.keys() == {"a"}
    weights(tmp_path / "b.safetensors")
    with pytest.raises(PackageError, match=r"several files of weights in it \(a.safetensors, b.safetensors\)"):
        open_files(tmp_path)
    with pytest.raises(PackageError, match="no such file or folder"):
        open_files(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["flowers-20261124", "run-550e8400-e29b-41d4-a716-4466554400ff"])
def test_a_date_or_a_uuid_in_the_name_is_no_digest(name: str, tmp_path: Path):
    path = tmp_path / f"{name}.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    assert len(open_files(path).sha256[path.name]) == 64
