"""Owns the comparison with Hugging Face's transformers, versions 4 and 5: its files read by us, ours read by it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.checkpoints.export import export_package
from app.checkpoints.load import ConvertOptions
from app.checkpoints.own import load_package, save_package
from tests.parity.compare import assert_same_logits, close, converted
from tests.parity.conftest import made, run_reference

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
BOTH = ("plain", "tanh", "no_qkv_bias", "sharded", "teacher", "deit", "full")
CASES = [
    *((library, name) for library in ("transformers4", "transformers5") for name in BOTH),
    ("transformers5", "new_names"),
    ("transformers5", "deit_new_names"),
    ("transformers4", "hybrid"),
]
CLASSES = {
    "plain": "ViTForImageClassification",
    "tanh": "ViTForImageClassification",
    "teacher": "DeiTForImageClassificationWithTeacher",
    "deit": "DeiTForImageClassification",
    "hybrid": "ViTHybridForImageClassification",
}


@pytest.fixture(scope="module")
def cases() -> Iterator[dict[str, Path]]:
    with made("transformers4") as four, made("transformers5") as five:
        yield {"transformers4": four, "transformers5": five}


@pytest.mark.parametrize(("library", "name"), CASES)
def test_logits_are_transformers(library: str, name: str, cases: dict[str, Path]):
    result = converted(cases[library] / name)
    assert result.format == "hf"
    assert_same_logits(result.package.network, cases[library] / name)


@pytest.mark.parametrize("library", ["transformers4", "transformers5"])
def test_a_folder_says_labels_and_constants(library: str, cases: dict[str, Path]):
    package = converted(cases[library] / "plain").package
    assert package.labels == tuple(f"thing {i}" for i in range(5))
    assert package.network.config.norm_eps == 1e-12
    assert package.preprocess.crop_mode == "squash"
    assert package.preprocess.interpolation == "bilinear"
    changed = converted(cases[library] / "tanh").package.network.config
    assert (changed.gelu, changed.norm_eps) == ("tanh", 1e-3)


@pytest.mark.parametrize("library", ["transformers4", "transformers5"])
def test_a_model_without_classifier_is_a_start_for_training(library: str, cases: dict[str, Path]):
    network = converted(cases[library] / "model", ConvertOptions(for_training=True)).package.network
    expected = load_file(cases[library] / "model" / "expected.safetensors")
    with torch.inference_mode():
        tokens = network.float().forward_features(expected["x"].float())
        close(network.pre_logits(tokens[:, 0]), expected, "float32")
        tokens = network.double().forward_features(expected["x"])
        close(network.pre_logits(tokens[:, 0]), expected, "float64")


@pytest.mark.parametrize(("library", "name"), CASES)
def test_round_trip_is_bit_equal(library: str, name: str, cases: dict[str, Path], tmp_path: Path):
    case = cases[library] / name
    save_package(tmp_path / "package", converted(case).package)
    export_package(tmp_path / "package", "hf", tmp_path / "back")
    back = load_file(tmp_path / "back" / "model.safetensors")
    if "new_names" in name:  # what is written has the names of the hub
        assert_same_logits(converted(tmp_path / "back").package.network, case)
        return
    original = {key: tensor for path in case.glob("model*.safetensors") for key, tensor in load_file(path).items()}
    assert back.keys() == original.keys()
    assert all(torch.equal(back[key], original[key]) for key in back)


@pytest.mark.parametrize("library", ["transformers4", "transformers5"])
def test_transformers_reads_what_we_write(library: str, cases: dict[str, Path], tmp_path: Path):
    names = [name for name in CLASSES if (cases[library] / name).is_dir()]
    for name in names:
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        package = converted(cases[library] / name).package
        save_package(tmp_path / name, package)
        export_package(tmp_path / name, "hf", folder / "m")
        case = {"class": CLASSES[name], "file": "m", "size": package.network.config.img_size[0]}
        (folder / "case.json").write_text(json.dumps(case))
    run_reference("read", library, tmp_path / "out")
    for name in names:
        assert_same_logits(load_package(tmp_path / name).network, tmp_path / "out" / name)
