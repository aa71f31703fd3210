"""Owns the tests of folder.py."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.checkpoints.folder import open_files
from app.checkpoints.load import load_checkpoint
from app.errors import PackageError
from app.package.variants import ViTConfig
from tests.checkpoints.networks import TINY, drawn


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


def test_what_a_processor_of_several_inputs_has_for_images_goes_first(tmp_path: Path):
    weights(tmp_path / "model.safetensors")
    assert open_files(tmp_path).preprocessor is None
    (tmp_path / "preprocessor_config.json").write_text('{"size": 1}')
    (tmp_path / "processor_config.json").write_text('{"processor_class": "CLIPProcessor"}')  # as before it was nested
    assert open_files(tmp_path).preprocessor == {"size": 1}
    (tmp_path / "processor_config.json").write_text('{"image_processor": {"size": 2}, "tokenizer": {}}')
    assert open_files(tmp_path).preprocessor == {"size": 2}


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
        ({"a": "absent.safetensors"}, "'absent.safetensors' is not there"),
        ({"x": "one.safetensors"}, "'x' is not in 'one.safetensors'"),
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
    with pytest.raises(
        PackageError, match=r"\('a.safetensors', 'b.safetensors'\); name one .* such as '.*/a.safetensors'"
    ):
        open_files(tmp_path)
    with pytest.raises(PackageError, match="no such file or folder"):
        open_files(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["flowers-20261124", "run-550e8400-e29b-41d4-a716-4466554400ff"])
def test_a_date_or_a_uuid_in_the_name_is_no_digest(name: str, tmp_path: Path):
    path = tmp_path / f"{name}.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    assert len(open_files(path).sha256[path.name]) == 64


@pytest.mark.parametrize("names", [("model.safetensors", "pytorch_model.bin"), ("pytorch_model.bin", "best.pth")])
def test_of_several_files_the_one_that_the_libraries_prefer(names: tuple[str, str], tmp_path: Path):
    for name in names:
        (weights if name.endswith("s") else pickled)(tmp_path / name, name)
    assert open_files(tmp_path).tensors.keys() == {names[0]}


def pickled(path: Path, *names: str) -> Path:
    torch.save({name: torch.ones(2) for name in names or ("a",)}, path)
    return path


def test_what_trainers_write_beside_the_weights_is_no_second_file(tmp_path: Path):
    for name in (
        "optimizer.pt",
        "scheduler.pt",
        "training_args.bin",
        "rng_state_0.pth",
        "scaler.pt",
        "random_states_0.pkl",
    ):
        (tmp_path / name).write_bytes(b"x")
    pickled(tmp_path / "last.ckpt")
    assert open_files(tmp_path).sha256.keys() == {"last.ckpt"}
    (tmp_path / "last.ckpt").rename(tmp_path / "model_best.pth.tar")
    assert open_files(tmp_path).sha256.keys() == {"model_best.pth.tar"}


def test_shards_are_joined_before_their_prefix_is_taken_off(tmp_path: Path):
    weights(tmp_path / "one.safetensors", "timm_model.a")
    weights(tmp_path / "two.safetensors", "timm_model.b")
    index(tmp_path, {"timm_model.a": "one.safetensors", "timm_model.b": "two.safetensors"})
    assert open_files(tmp_path).tensors.keys() == {"a", "b"}


def test_transformers_wrapper_of_a_timm_network_loads_as_timms_own_folder(tmp_path: Path):
    """Its config.json, as 4.57 and 5.18 write it, and its names."""
    network = drawn(ViTConfig(**TINY))
    save_file(
        {f"timm_model.{name}": each for name, each in network.state_dict().items()}, tmp_path / "model.safetensors"
    )
    document = {
        "architecture": "vit_tiny_patch16_224",
        "architectures": ["TimmWrapperForImageClassification"],
        "do_pooling": True,
        "initializer_range": 0.02,
        "label_names": ["a", "b", "c", "d", "e"],
        "model_args": {"img_size": 32, "embed_dim": 64, "depth": 2, "num_heads": 4},
        "model_type": "timm_wrapper",
        "num_classes": 5,
        "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.25] * 3, "crop_pct": 0.8},
    }
    (tmp_path / "config.json").write_text(json.dumps(document))
    package = load_checkpoint(tmp_path)
    assert (package.labels, package.preprocess.std) == (("a", "b", "c", "d", "e"), (0.25,) * 3)
    assert package.network.config.num_heads == 4
    state = package.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_where_a_library_wrote_the_folder_no_prefix_is_taken_off(tmp_path: Path):
    state = {f"inner.{name}": each for name, each in drawn(ViTConfig(**TINY)).state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    assert "cls_token" in open_files(tmp_path).tensors
    (tmp_path / "config.json").write_text('{"my": "options"}')
    assert "cls_token" in open_files(tmp_path).tensors
    (tmp_path / "config.json").write_text('{"model_type": "some_other_network"}')
    assert open_files(tmp_path).tensors.keys() == state.keys()
