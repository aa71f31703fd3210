"""Owns the tests of training/start.py."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from app.checkpoints.own import load_package, save_package
from app.errors import PackageError, SetupError, UnknownVariant
from app.network.resize import resize_position_table
from app.package.config import file_sha256
from app.package.variants import variant
from app.training.recipe import Recipe, fine_tuning_recipe
from app.training.start import Start, load_start, preprocess_spec, random_start
from tests.training.pictures import RECIPE, SHAPE, VARIANT, write_start

TUNING = replace(RECIPE, variant="")
BODIES: list[dict[str, Any]] = [
    {},
    {"distilled": True},
    {"representation_size": 48},
    {"stem_widths": (8, 8, 16)},
    {"backbone_layers": (1,), "patch_size": 2},
    {"position": "2d_shared", "no_embed_class": True},
    {"reg_tokens": 2, "pre_norm": True, "init_values": 1e-5, "global_pool": "avg", "fc_norm": False},
    {"class_token": False, "global_pool": "map", "mlp_layer": "swiglu", "qk_norm": True},
    {"in_chans": 1},
]


def other_size(source: Path, size: int) -> Start:
    return load_start(str(source), replace(TUNING, size=size))


@pytest.mark.parametrize("changes", BODIES, ids=str)
def test_all_weights_but_the_heads_are_the_packages(tmp_path: Path, changes: dict[str, Any]):
    given = load_package(write_start(tmp_path, **changes)).network.state_dict()
    start = load_start(str(tmp_path), TUNING).network(3).state_dict()
    heads = {"head.weight", "head.bias"} | ({"head_dist.weight", "head_dist.bias"} if "distilled" in changes else set())
    assert heads <= start.keys()
    assert not any(name.startswith("pre_logits") for name in start)
    for name, value in start.items():
        if name in heads:
            assert value.shape[0] == 3 and not value.any(), name
        else:
            assert torch.equal(value, given[name]), name


def test_a_start_can_be_used_twice(tmp_path: Path):
    start = load_start(str(write_start(tmp_path)), TUNING)
    first, second = start.network(2), start.network(2)
    with torch.no_grad():
        first.get_parameter("norm.weight").add_(1)
    assert torch.equal(*(network.get_parameter("norm.weight") for network in (second, load_package(tmp_path).network)))


def test_preprocessing_and_name_are_the_packages(tmp_path: Path):
    source = write_start(tmp_path / "mine")
    start = load_start(f"{source}/../mine/", TUNING)
    assert start.spec == load_package(source).preprocess
    assert (start.architecture, start.name) == (VARIANT, "mine")
    assert start.sha256 == file_sha256(source / "model.safetensors")
    recorded = start.recorded(TUNING)
    assert recorded == replace(RECIPE, start="mine", start_sha256=start.sha256)


def test_a_zeroed_head_is_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.network.vit.VisionTransformer.init_weights", lambda self: _fill(self))
    source = write_start(tmp_path)
    with pytest.raises(PackageError, match="all zeros"):
        load_package(source)
    assert bool((load_start(str(source), TUNING).network(2).get_parameter("norm.weight") == 0.5).all())


def _fill(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.startswith("head") else 0.5)


def test_weights_without_a_file_have_a_digest_of_their_own():
    start = load_start(f"random:{VARIANT}", TUNING)
    assert start.name == f"random:{VARIANT}"
    assert len(start.sha256) == 64 and start.sha256 == load_start(f"random:{VARIANT}", TUNING).sha256
    assert start.sha256 != load_start("random:vit_pico_patch4_32", TUNING).sha256


@pytest.mark.parametrize(("resize_px", "expected"), [(None, None), (40, 60), ((36, 40), (54, 60))])
def test_a_size_before_the_crop_grows_along(
    tmp_path: Path, resize_px: int | tuple[int, int] | None, expected: int | tuple[int, int] | None
):
    package = load_package(write_start(tmp_path))
    save_package(tmp_path, replace(package, preprocess=replace(package.preprocess, resize_px=resize_px)))
    assert other_size(tmp_path, 48).spec.resize_px == expected


def test_a_hub_model_is_called_by_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    package = replace(load_package(write_start(tmp_path)), source="hf-hub:owner/name@abc")
    monkeypatch.setattr("app.training.start.load_model", lambda *_, **__: package)
    assert load_start("hf-hub:owner/name", TUNING).name == "hf-hub:owner/name@abc"
    assert load_start(str(tmp_path), TUNING).name == tmp_path.name


def test_a_foreign_checkpoint_is_a_start(tmp_path: Path):
    package = load_package(write_start(tmp_path / "timm"))
    path = tmp_path / "timm" / "config.json"
    path.write_text(
        json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "vit_serve"})
    )
    start = load_start(str(tmp_path / "timm"), TUNING)
    assert start.weights is not None
    assert start.spec == package.preprocess
    assert torch.equal(start.weights["norm.weight"], package.network.get_parameter("norm.weight"))


def test_another_size_resizes_the_position_table(tmp_path: Path):
    given = load_package(write_start(tmp_path)).network.state_dict()["pos_embed"]
    start = other_size(tmp_path, 48)
    network = start.network(2)
    assert (start.spec.height, start.spec.width, start.spec.interpolation) == (48, 48, "bilinear")
    assert torch.equal(network.state_dict()["pos_embed"], resize_position_table(given, (4, 4), (6, 6)))
    assert network(torch.zeros(1, 3, 48, 48)).shape == (1, 2)


def test_an_oblong_start_becomes_square(tmp_path: Path):
    start = other_size(write_start(tmp_path, img_size=(16, 32)), 32)
    assert start.config.grid_size == (4, 4)
    assert start.network(2).state_dict()["pos_embed"].shape == (1, 17, 32)


def test_the_rates_are_the_recipes(tmp_path: Path):
    rates = replace(TUNING, drop_rate=0.1, drop_path_rate=0.2, patch_drop_rate=0.3)
    for start in (load_start(str(write_start(tmp_path)), rates), random_start(replace(rates, variant=VARIANT))):
        network = start.network(2)
        config = network.config
        assert (config.drop_rate, config.drop_path_rate, config.patch_drop_rate) == (0.1, 0.2, 0.3)
        assert {module.p for module in network.modules() if isinstance(module, nn.Dropout)} == {0.1}


@pytest.mark.parametrize(
    ("changes", "recipe", "reason"),
    [
        ({}, {"size": 4}, "holds no patch of 8 px"),
        ({"position": "relative"}, {"size": 48}, "relative positions .* cannot be resized"),
        ({"position": "relative"}, {"patch_drop_rate": 0.5}, "patch_drop_rate must be 0"),
        ({}, {"freeze": "3"}, "freeze is 3, but there are 2 blocks"),
    ],
)
def test_what_does_not_go_with_the_start_is_told(
    tmp_path: Path, changes: dict[str, Any], recipe: dict[str, Any], reason: str
):
    source = str(write_start(tmp_path, **changes))
    with pytest.raises(SetupError, match=f"{source}: .*{reason}"):
        load_start(source, replace(TUNING, **recipe))


def test_a_start_that_cannot_be_loaded(tmp_path: Path):
    with pytest.raises(PackageError, match="nowhere"):
        load_start(str(tmp_path / "nowhere"), TUNING)
    with pytest.raises(SetupError, match="noop has no network"):
        load_start("noop", TUNING)


def test_another_variant_than_the_starts_is_refused(tmp_path: Path):
    start = load_start(str(write_start(tmp_path)), TUNING)
    with pytest.raises(SetupError, match=f"is a {VARIANT}, not .*vit_base_patch16_224"):
        start.recorded(replace(RECIPE, variant="vit_base_patch16_224"))


def test_a_start_of_the_recorded_name_with_other_weights_is_refused(tmp_path: Path):
    start = load_start(str(write_start(tmp_path)), TUNING)
    made_with = replace(start.recorded(TUNING), start_sha256="ab" * 32)
    with pytest.raises(SetupError, match=f"{start.sha256}, the recipe says {'ab' * 32}"):
        start.recorded(made_with)
    assert start.recorded(replace(made_with, start="another")) == start.recorded(TUNING)


def test_random_weights_are_of_the_recipes_variant_and_size():
    start = random_start(replace(RECIPE, size=48))
    assert (start.architecture, start.name, start.sha256) == (VARIANT, "", "")
    assert start.config.img_size == (48, 48) and start.spec == preprocess_spec(start.config)
    torch.manual_seed(1)
    first = start.network(2).head.weight
    torch.manual_seed(1)
    assert torch.equal(start.network(2).head.weight, first) and first.any()
    assert random_start(RECIPE).config.img_size == SHAPE.img_size
    with pytest.raises(UnknownVariant):
        random_start(replace(RECIPE, variant="vit_nowhere"))


def test_random_weights_cannot_be_kept():
    with pytest.raises(SetupError, match="no start"):
        random_start(replace(RECIPE, freeze="backbone"))


def test_fine_tuning_is_gentler_than_training_from_scratch():
    scratch, tuning = Recipe(), fine_tuning_recipe()
    assert tuning.learning_rate < scratch.learning_rate and tuning.weight_decay < scratch.weight_decay
    assert tuning.epochs < scratch.epochs and tuning.colour < scratch.colour
    assert tuning.patience > 0 and tuning.variant == ""


def test_preprocessing_is_the_whole_image_with_the_statistics_of_its_size():
    small, large = (preprocess_spec(variant(name)) for name in ("vit_nano_patch4_32", "vit_tiny_patch16_224"))
    assert (small.height, small.width, small.crop_pct) == (32, 32, 1.0)
    assert (small.mean, small.std) == ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))
    assert (large.height, large.width, large.crop_pct) == (224, 224, 1.0)
    assert (large.mean, large.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert small.interpolation == large.interpolation == "bicubic"
    assert small.crop_mode == large.crop_mode == "center"


def test_the_crop_mode_is_the_recipes_else_the_starts(tmp_path: Path):
    squashed = replace(RECIPE, crop_mode="squash")
    assert random_start(squashed).spec == replace(random_start(RECIPE).spec, crop_mode="squash")
    package = load_package(write_start(tmp_path))
    given = replace(package.preprocess, resize_px=40, crop_mode="border")
    save_package(tmp_path, replace(package, preprocess=given))
    assert load_start(str(tmp_path), TUNING).spec == given
    assert load_start(str(tmp_path), replace(TUNING, crop_mode="border")).spec == given
    other = load_start(str(tmp_path), replace(TUNING, crop_mode="squash")).spec
    assert other == replace(given, crop_mode="squash", crop_pct=1.0, resize_px=None)
