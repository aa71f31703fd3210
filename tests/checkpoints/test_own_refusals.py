"""What a stranger's package may hold, beyond the plain mistakes of test_own.py."""

import contextlib
import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from app.checkpoints.own import ModelPackage, load_package, save_package
from app.domain import PreprocessSpec
from app.errors import PackageError
from app.network.vit import VisionTransformer
from app.package.variants import variant

NAME = "vit_pico_patch4_32"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    network = VisionTransformer(replace(variant(NAME), depth=2))
    network.init_weights()
    labels = tuple(f"label {i}" for i in range(10))
    save_package(
        folder,
        ModelPackage(
            name=NAME, architecture=NAME, network=network, labels=labels, preprocess=PreprocessSpec(32, 32), sha256=None
        ),
    )
    return folder


@pytest.fixture
def saved(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path, dirs_exist_ok=True)


def put(folder: Path, *path: str, value: Any) -> None:
    """Writes `value` into config.json, at the place that the keys in `path` lead to."""
    document = json.loads((folder / "config.json").read_text())
    *outer, last = path
    place = document
    for key in outer:
        place = place[key]
    place[last] = value
    (folder / "config.json").write_text(json.dumps(document))


def refused(folder: Path, file: str, *words: str) -> None:
    with pytest.raises(PackageError) as caught:
        load_package(folder)
    for word in (str(folder / file), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("model_args.embed_dim", 2**19, "shape"),  # right in itself, but not the shape that the file has
        ("model_args.embed_dim", 2**70, "embed_dim"),
        ("model_args.depth", 2**19, "depth"),
        ("model_args.depth", 4.0, "depth"),
        ("model_args.depth", True, "depth"),
        ("model_args.mlp_ratio", 0, "mlp_ratio"),
        ("model_args.mlp_ratio", "4", "mlp_ratio"),
        ("model_args.mlp_ratio", float("nan"), "mlp_ratio"),
        ("model_args.drop_rate", 5, "drop rates"),
        ("model_args.drop_path_rate", -0.1, "drop rates"),
        ("model_args.img_size", [32], "img_size"),
        ("model_args.img_size", [32, 33], "img_size"),
        ("pretrained_cfg.input_size", [3, 32], "input_size"),
        ("pretrained_cfg.input_size", "332", "input_size"),
        ("pretrained_cfg.crop_pct", 0, "crop_pct"),
        ("pretrained_cfg.crop_pct", 1e-9, "crop_pct"),
        ("pretrained_cfg.crop_pct", "0.9", "crop_pct"),
        ("pretrained_cfg.crop_pct", True, "crop_pct"),
        ("pretrained_cfg.mean", "123", "mean"),
        ("pretrained_cfg.mean", ["0.5", "0.5", "0.5"], "mean"),
        ("pretrained_cfg.std", [0.5, 0.5, 0.0], "std"),
        ("pretrained_cfg.std", [0.5, 0.5, float("nan")], "std"),
        ("pretrained_cfg.crop_mode", ["center"], "crop_mode"),
        ("label_names", [], "label_names"),
        ("label_names", {"0": "cat"}, "label_names"),
        ("vit_serve.calibration.temperature", float("inf"), "temperature"),
        ("vit_serve.calibration.temperature", "1", "temperature"),
        ("vit_serve.calibration.temperature", 0, "temperature"),
        ("vit_serve.calibration", None, "calibration"),
        ("vit_serve.sha256", None, "SHA-256"),
    ],
)
def test_a_senseless_value_is_named(saved: Path, path: str, value: object, word: str) -> None:
    put(saved, *path.split("."), value=value)
    refused(saved, "", word)


def test_null_is_as_good_as_missing(saved: Path) -> None:
    for key in ("crop_pct", "crop_mode", "interpolation", "mean", "std", "input_size", "tag"):
        put(saved, "pretrained_cfg", key, value=None)
    put(saved, "model_args", "mlp_ratio", value=None)
    package = load_package(saved)
    assert package.preprocess == PreprocessSpec(32, 32)
    assert package.name == NAME


def test_a_shape_is_compared_before_it_is_allocated(saved: Path) -> None:
    put(saved, "model_args", "embed_dim", value=2**19)  # 20 TiB
    tracemalloc.start()
    refused(saved, "model.safetensors", "shape", "524288")
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.float8_e4m3fn])
def test_weights_of_another_kind_are_refused(saved: Path, dtype: torch.dtype) -> None:
    put(saved, "vit_serve", value={})
    weights = load_file(saved / "model.safetensors")
    save_file({**weights, "head.weight": weights["head.weight"].to(dtype)}, saved / "model.safetensors")
    refused(saved, "model.safetensors", "head.weight", "BF16")


def test_float64_is_read_as_float32(saved: Path) -> None:
    put(saved, "vit_serve", value={})
    weights = load_file(saved / "model.safetensors")
    save_file({name: tensor.double() for name, tensor in weights.items()}, saved / "model.safetensors")
    state = load_package(saved).network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(saved: Path, value: float) -> None:
    put(saved, "vit_serve", value={})
    weights = load_file(saved / "model.safetensors")
    weights["blocks.1.mlp.fc1.bias"][7] = value
    save_file(weights, saved / "model.safetensors")
    refused(saved, "model.safetensors", "blocks.1.mlp.fc1.bias", "finite")


def test_a_file_that_cannot_be_read_is_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object, **kwargs: object) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("app.package.description.file_sha256", denied)
        refused(saved, "model.safetensors", "Permission denied")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", denied)
        refused(saved, "config.json", "Permission denied")


def test_the_header_of_the_weights_may_say_anything(saved: Path) -> None:
    put(saved, "vit_serve", value={})
    data = (saved / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + length], data[8 + length :]
    for lie in (
        header.replace(b"F32", b"F99"),
        header.replace(b'"data_offsets":[0,', b'"data_offsets":[4,'),
        header.replace(b'"shape":[10]', b'"shape":[11]'),
        header.replace(b'"shape":[10]', b'"shape":[-1]'),
        header.replace(b"head.bias", b"head.bia\xff"),
        b"[" * 50_000,
        b"{}",
        b"",
    ):
        (saved / "model.safetensors").write_bytes(len(lie).to_bytes(8, "little") + lie + rest)
        refused(saved, "model.safetensors")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)
PLACES = [
    ("architecture",),
    ("num_classes",),
    ("label_names",),
    ("labels",),
    ("model_args",),
    *[("model_args", key) for key in ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")],
    *[("model_args", key) for key in ("qkv_bias", "representation_size", "norm_eps", "drop_rate", "in_chans")],
    ("pretrained_cfg",),
    *[("pretrained_cfg", key) for key in ("input_size", "interpolation", "crop_pct", "crop_mode", "tag")],
    *[("pretrained_cfg", key) for key in ("mean", "std")],
    ("vit_serve",),
    ("vit_serve", "sha256"),
    ("vit_serve", "calibration"),
    ("vit_serve", "calibration", "temperature"),
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_value_in_any_place_is_read_or_refused(saved: Path, place: tuple[str, ...], value: object) -> None:
    original = (saved / "config.json").read_text()
    put(saved, *place, value=value)
    with contextlib.suppress(PackageError):
        load_package(saved)
    (saved / "config.json").write_text(original)
