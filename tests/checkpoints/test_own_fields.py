"""Owns the tests that a package keeps every field of its network's shape, and refuses a dead head."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from app.checkpoints.own import ModelPackage, load_package, save_package
from app.checkpoints.sources import load_model
from app.domain import PreprocessSpec
from app.errors import PackageError, SetupError
from app.network.vit import VisionTransformer
from app.package.variants import VARIANTS, Position, ViTConfig, variant

NAME = "vit_pico_patch4_32"
FIELDS: list[dict[str, Any]] = [
    *[{"position": position} for position in get_args(Position)],
    {"backbone_layers": (), "patch_size": 2},
    {"backbone_layers": (1,), "patch_size": 1, "group_norm_eps": 1e-6},
    {"backbone_layers": (1, 1), "patch_size": 1, "standardization": "deviation", "standardization_eps": 1e-5},
    {"mirror": True},
    {"distilled": True},
    {"distilled": True, "no_embed_class": True, "position": "2d"},
    {"no_embed_class": True},
    {"gelu": "tanh", "norm_eps": 1e-12},
    {"representation_size": 48},
    {"qkv_bias": False, "img_size": (24, 40)},
]


def package(name: str = NAME, **changes: Any) -> ModelPackage:
    torch.manual_seed(0)
    network = VisionTransformer(replace(variant(name), **changes))
    network.init_weights()
    labels = tuple(f"label {i}" for i in range(network.config.num_classes))
    return ModelPackage(
        name=f"{name}.test",
        architecture=name,
        network=network.eval().requires_grad_(False),
        labels=labels,
        preprocess=PreprocessSpec(*network.config.img_size),
        sha256=None,
    )


def config_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return document


@pytest.mark.parametrize("changes", FIELDS, ids=str)
def test_every_field_comes_back(tmp_path: Path, changes: dict[str, Any]):
    before = package(**changes)
    save_package(tmp_path, before)
    after = load_package(tmp_path)
    assert after.network.config == before.network.config
    x = torch.randn(2, 3, *before.network.config.img_size)
    torch.testing.assert_close(after.network(x), before.network(x), atol=1e-5, rtol=0)  # memory aligned otherwise
    for key, tensor in before.network.state_dict().items():
        assert torch.equal(after.network.state_dict()[key], tensor), key
    written = config_of(tmp_path)["model_args"]
    assert changes.keys() <= written.keys() | ({"position"} if changes.get("position") == "1d" else set())


def test_what_the_variant_says_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = ViTConfig((32, 32), 1, 32, 1, 2, num_classes=3, backbone_layers=(1,), distilled=True)
    monkeypatch.setitem(VARIANTS, "small_hybrid", config)
    before = package("small_hybrid")
    save_package(tmp_path, before)
    written = config_of(tmp_path)
    assert not {"backbone_layers", "distilled", "position"} & written["model_args"].keys()
    assert written["pretrained_cfg"]["first_conv"] == "patch_embed.backbone.stem.conv"
    assert written["pretrained_cfg"]["classifier"] == ["head", "head_dist"]
    assert load_package(tmp_path).network.config == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position", "3d"),
        ("position", ["1d"]),
        ("gelu", "fast"),
        ("standardization", 1),
        ("backbone_layers", 3),
        ("backbone_layers", [3, 0]),
        ("backbone_layers", [1, 1, 1, 1, 1]),
        ("backbone_layers", [1, "2"]),
        ("group_norm_eps", "small"),
        ("standardization_eps", -1),
        ("norm_eps", -1),
    ],
)
def test_a_field_of_no_sense_is_refused_by_name(tmp_path: Path, key: str, value: object):
    save_package(tmp_path, package())
    document = config_of(tmp_path)
    document["model_args"][key] = value
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(PackageError, match=key):
        load_package(tmp_path)


@pytest.mark.parametrize("distilled", [False, True])
def test_a_dead_head_cannot_classify_but_can_be_trained_from(tmp_path: Path, distilled: bool):
    dead = package(distilled=distilled)
    with torch.no_grad():
        for head in (dead.network.head, dead.network.head_dist):
            if head is not None:
                head.weight.zero_()
    save_package(tmp_path, dead)
    with pytest.raises(SetupError, match=r"all zeros.*on purpose.*vit-serve train --from") as caught:
        load_model(str(tmp_path))
    assert "model.safetensors" in str(caught.value)
    assert load_package(tmp_path, for_training=True).network.has_dead_head
