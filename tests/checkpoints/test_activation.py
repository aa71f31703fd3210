"""Owns the tests of what makes scores of logits: stated by a checkpoint, kept by a package, exported; computes none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.checkpoints.export import export_package
from app.checkpoints.load import ConvertOptions, read_checkpoint
from app.checkpoints.located import locate
from app.checkpoints.own import load_package, save_package
from app.errors import PackageError
from app.package.variants import ViTConfig
from tests.checkpoints.networks import KINDS, TINY, saved
from tests.graphs.tiny import changed

ONE = ViTConfig(**{**TINY, "num_classes": 1})


@pytest.fixture
def package(tmp_path: Path) -> Path:
    saved(tmp_path / "package", KINDS["plain"])
    return tmp_path / "package"


def exported(folder: Path, config: ViTConfig, **more: Any) -> Path:
    """A folder as of transformers, with more in its config.json."""
    saved(folder / "package", config)
    export_package(folder / "package", "hf", folder / "hf")
    return changed(folder / "hf", **more)


@pytest.mark.parametrize(
    ("problem", "several", "one"),
    [
        (None, "softmax", "sigmoid"),
        ("single_label_classification", "softmax", "sigmoid"),
        ("multi_label_classification", "sigmoid", "sigmoid"),
        ("regression", "none", "none"),
    ],
)
def test_transformers_problem_type_and_a_sole_class(problem: str | None, several: str, one: str, tmp_path: Path):
    for config, expected in ((KINDS["plain"], several), (ONE, one)):
        folder = exported(tmp_path / expected / str(config.num_classes), config, problem_type=problem)
        result = read_checkpoint(folder)
        assert result.package.activation == expected
        assert not [remark for remark in result.remarks if "sigmoid" in remark]


@pytest.mark.parametrize("problem", ["ranking", "\x1b[31mred", 3, ["regression"], ""])
def test_a_problem_that_there_is_not_is_refused_in_one_line(problem: object, tmp_path: Path):
    with pytest.raises(PackageError, match="problem_type") as caught:
        read_checkpoint(exported(tmp_path, KINDS["plain"], problem_type=problem))
    assert str(caught.value).isprintable()


def test_one_class_of_another_library_is_a_sigmoid_and_said_to_be_assumed(tmp_path: Path):
    saved(tmp_path / "package", ONE)
    export_package(tmp_path / "package", "torchvision", tmp_path / "out.pth")
    result = read_checkpoint(tmp_path / "out.pth")
    assert result.package.activation == "sigmoid"
    assert "assumed: the score of its one class is a sigmoid" in result.remarks


def test_a_start_without_head_has_no_class_to_score(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = exported(tmp_path, KINDS["plain"])
    tensors = load_file(folder / "model.safetensors")
    left = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier")}
    save_file(left, folder / "model.safetensors")
    assert read_checkpoint(folder, ConvertOptions(for_training=True)).package.activation == "softmax"


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_a_package_keeps_it(activation: Any, package: Path, tmp_path: Path):
    before = replace(load_package(package), activation=activation)
    save_package(tmp_path / "again", before)
    assert load_package(tmp_path / "again").scoring == before.scoring
    assert ("activation" in json.loads((tmp_path / "again" / "config.json").read_text())["vit_serve"]) == (
        activation != "softmax"
    )
    assert locate(str(tmp_path / "again")).key == locate(str(package)).key  # the graph ends with the logits


@pytest.mark.parametrize("value", ["tanh", "Sigmoid", "", None, 1, ["sigmoid"], {}, "\x1b[2J"])
def test_a_package_with_another_one_is_refused(value: object, package: Path):
    changed(package, vit_serve={"activation": value})
    with pytest.raises(
        PackageError, match=r"config\.json: vit_serve\.activation .* is none of softmax, sigmoid, none"
    ) as e:
        load_package(package)
    assert str(e.value).isprintable()


@pytest.mark.parametrize("calibration", [{"temperature": 2.0}, {"temperature": 1.0, "threshold": 0.5}])
def test_numbers_are_not_calibrated(calibration: dict[str, float], package: Path):
    changed(package, vit_serve={"activation": "none", "calibration": calibration})
    with pytest.raises(PackageError, match="can have no threshold or temperature"):
        load_package(package)
    changed(package, vit_serve={"activation": "sigmoid"})
    assert load_package(package).scoring.temperature == calibration["temperature"]


@pytest.mark.parametrize(
    ("activation", "problem"), [("softmax", None), ("sigmoid", "multi_label_classification"), ("none", "regression")]
)
@pytest.mark.parametrize("classes", [1, 5])
def test_it_goes_to_transformers_and_back(activation: Any, problem: str | None, classes: int, tmp_path: Path):
    saved(tmp_path / "package", ViTConfig(**{**TINY, "num_classes": classes}))
    save_package(tmp_path / "mine", replace(load_package(tmp_path / "package"), activation=activation))
    remarks = export_package(tmp_path / "mine", "hf", tmp_path / "out").remarks
    assert json.loads((tmp_path / "out" / "config.json").read_text()).get("problem_type") == problem
    assert any("function_to_apply='none'" in remark for remark in remarks) == (activation == "none")
    if (activation, classes) != ("softmax", 1):  # of which transformers has none
        assert read_checkpoint(tmp_path / "out").package.activation == activation


@pytest.mark.parametrize(("kind", "name"), [("timm", "out"), ("torchvision", "out.pth"), ("npz", "out.npz")])
def test_a_format_that_cannot_say_it_is_said_to_lose_it(kind: str, name: str, package: Path, tmp_path: Path):
    save_package(tmp_path / "mine", replace(load_package(package), activation="sigmoid"))
    remarks = export_package(tmp_path / "mine", kind, tmp_path / name).remarks
    assert f"{kind} does not say what makes scores of logits; here the activation is sigmoid" in remarks
