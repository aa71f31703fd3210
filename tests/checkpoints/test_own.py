import json
import pickle
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
from app.errors import PackageError, SetupError
from app.network.vit import VisionTransformer
from app.package.config import parse_config
from app.package.variants import variant

NAME = "vit_pico_patch4_32"
SPEC = PreprocessSpec(32, 32, "bilinear", 0.9, "squash", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
LABELS = tuple(f"label {i}" for i in range(10))


def package() -> ModelPackage:
    torch.manual_seed(0)
    network = VisionTransformer(variant(NAME))
    network.init_weights()
    return ModelPackage(
        name=f"{NAME}.test",
        architecture=NAME,
        network=network,
        labels=LABELS,
        preprocess=SPEC,
        sha256=None,
        temperature=1.5,
        threshold=0.75,
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_package(tmp_path, package())
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(SetupError) as caught:
        load_package(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_round_trip_loses_nothing_but_what_the_format_rounds(tmp_path: Path, dtype: torch.dtype) -> None:
    before = package()
    sha256 = save_package(tmp_path, before, dtype)
    after = load_package(tmp_path)
    for name, tensor in before.network.state_dict().items():
        assert torch.equal(after.network.state_dict()[name], tensor.to(dtype).float()), name
    assert (after.name, after.labels, after.preprocess, after.temperature) == (before.name, LABELS, SPEC, 1.5)
    assert after.threshold == 0.75
    assert after.sha256 == sha256
    assert not after.network.training


@pytest.mark.parametrize("value", [-0.1, 1.5, "high", True, [0.5]])
def test_a_threshold_that_is_no_score_is_refused(saved: Path, value: Any) -> None:
    edit(saved, vit_serve={"calibration": {"threshold": value}})
    refused(saved, "threshold")


def test_a_package_without_a_threshold_has_none(saved: Path) -> None:
    edit(saved, vit_serve={})
    assert load_package(saved).threshold is None


def test_the_layout_is_timms(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    assert config["architecture"] == NAME
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    assert config["label_names"] == list(LABELS)
    assert set(config["model_args"]) == {
        "img_size",
        "patch_size",
        "embed_dim",
        "depth",
        "num_heads",
        "mlp_ratio",
        "qkv_bias",
    }


def test_what_is_missing_takes_timms_defaults() -> None:
    _, shape, labels, spec = parse_config({"architecture": "vit_tiny_patch16_224"})
    assert spec == PreprocessSpec(224, 224, "bicubic", 0.875, "center", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert shape == variant("vit_tiny_patch16_224")
    assert (labels.names[7], labels.ids[7]) == ("cock", "n01514668")


def test_the_old_layout_has_its_values_at_the_top() -> None:
    old = {"architecture": "vit_tiny_patch16_224", "input_size": [3, 224, 224], "crop_pct": 0.9, "num_classes": 5}
    _, shape, _, spec = parse_config(old)
    assert (shape.num_classes, spec.crop_pct) == (5, 0.9)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    refused(saved, name)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, '{"architecture": NaN}', "\x00"])
def test_a_config_that_is_none(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    refused(saved, "config.json")


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("architecture", "resnet50", "resnet50"),
        ("architecture", None, ""),
        ("model_args", {"depth": -1}, "depth"),
        ("model_args", {"unheard_of": 1}, "unheard_of"),
        ("model_args", [], ""),
        ("model_args", {"depth": "4"}, ""),
        ("num_classes", "abc", "abc"),
        ("num_classes", 11, "10"),
        ("label_names", ["one"], "1 label"),
        ("pretrained_cfg", {"input_size": [3, 32]}, ""),
        ("pretrained_cfg", {"input_size": [1, 32, 32]}, "1 channels"),
        ("pretrained_cfg", {"input_size": [3, 64, 64]}, "64"),
        ("pretrained_cfg", {"crop_pct": float("nan")}, "crop_pct"),
        ("pretrained_cfg", {"interpolation": "magic"}, "magic"),
        ("pretrained_cfg", {"mean": [1, 2]}, "mean"),
        ("pretrained_cfg", {"std": [0, 1, 1]}, "std"),
        ("pretrained_cfg", {"std": ["a", 1, 1]}, ""),
        ("vit_serve", {"calibration": {"temperature": float("nan")}}, "temperature"),
        ("vit_serve", {"sha256": "00"}, "SHA-256"),
        ("vit_serve", 5, "vit_serve"),
    ],
)
def test_a_config_that_cannot_be(saved: Path, key: str, value: object, word: str) -> None:
    edit(saved, **{key: value})
    refused(saved, word)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
KEYS = ["architecture", "model_args", "num_classes", "label_names", "pretrained_cfg", "vit_serve"]
INNER = ["input_size", "crop_pct", "mean", "std", "interpolation", "img_size", "patch_size", "depth", "num_heads"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KEYS), st.one_of(JSON, st.dictionaries(st.sampled_from(INNER), JSON, max_size=2)))
def test_whatever_stands_there_is_read_or_refused(saved: Path, key: str, value: object) -> None:
    original = (saved / "config.json").read_text()
    edit(saved, **{key: value})
    try:
        load_package(saved)
    except SetupError:
        pass
    finally:
        (saved / "config.json").write_text(original)


def test_keys_and_shapes_that_differ_are_named(saved: Path) -> None:
    edit(saved, vit_serve={})
    weights = load_file(saved / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "head.bias"}, saved / "model.safetensors")
    refused(saved, "head.bias", "missing")
    save_file({**weights, "surplus": torch.zeros(1)}, saved / "model.safetensors")
    refused(saved, "surplus")
    save_file({**weights, "head.bias": torch.zeros(11)}, saved / "model.safetensors")
    refused(saved, "head.bias", "(11,)", "(10,)")


def test_damaged_weights(saved: Path) -> None:
    data = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(data[:-1] + b"\0" if data[-1:] != b"\0" else data[:-1] + b"\1")
    refused(saved, "SHA-256")
    edit(saved, vit_serve={})
    for damaged in (b"", data[:100], data[:-100], b"\xff" * 8 + data[8:]):
        (saved / "model.safetensors").write_bytes(damaged)
        refused(saved, "model.safetensors")


def test_a_pickle_is_never_executed(saved: Path) -> None:
    edit(saved, vit_serve={})
    trace = saved / "was-here"

    class Evil:
        def __reduce__(self) -> Any:
            return trace.touch, ()

    for data in (pickle.dumps(Evil()), b"PK\3\4" + pickle.dumps(Evil())):
        (saved / "model.safetensors").write_bytes(data)
        with pytest.raises(PackageError):
            load_package(saved)
    assert not trace.exists()


def test_imagenets_ids_and_preprocessing_beyond_timm_travel_with_the_package(tmp_path: Path) -> None:
    ids = tuple(f"n0000000{i}" for i in range(10))
    spec = PreprocessSpec(32, 32, "area", 0.875, "center", resize_px=37, library="tensorflow")
    before = replace(package(), label_ids=ids, preprocess=spec, source="hf-hub:us/pico@abc")
    save_package(tmp_path, before)
    after = load_package(tmp_path)
    assert (after.labels, after.label_ids) == (LABELS, ids)
    assert (after.preprocess, after.source) == (spec, "hf-hub:us/pico@abc")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["label_names"] == list(ids)  # as timm has them: unique, and described beside
    assert config["label_descriptions"][ids[3]] == "label 3"
    assert config["pretrained_cfg"]["interpolation"] == "box"
