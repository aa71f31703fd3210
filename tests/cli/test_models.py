"""Owns the tests of cli/models.py."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from app.cli.main import main
from app.cli.models import list_models
from app.errors import PackageError
from app.network.vit import VisionTransformer
from app.package.parameters import count_parameters
from app.package.variants import VARIANTS, Position, ViTConfig, variant
from tests.training.pictures import write_files

SMALL = ViTConfig(img_size=(40, 24), patch_size=8, embed_dim=24, depth=3, num_heads=2, num_classes=7)


@pytest.mark.parametrize(
    "shape",
    [
        variant("vit_pico_patch4_32"),
        variant("vit_tiny_patch16_224"),
        SMALL,
        replace(SMALL, qkv_bias=False),
        replace(SMALL, representation_size=24),
        replace(SMALL, representation_size=10),
        replace(SMALL, mlp_ratio=2.5),
        replace(SMALL, in_chans=1),
        replace(SMALL, distilled=True, no_embed_class=True),
        *[replace(SMALL, position=position) for position in get_args(Position)],
        replace(SMALL, position="2d", no_embed_class=True),
        *[variant(name) for name in ("vit_tiny_r_s16_p8_224", "vit_small_r26_s32_384", "vit_base_r50_s16_224")],
        variant("deit_base_distilled_patch16_384"),
        variant("vit_nano_conv8_32"),
        variant("vit_nano_lite0_s32_128"),
        replace(SMALL, patch_size=2, lite_stages=2),
    ],
)
def test_the_count_is_that_of_the_network_built(shape: ViTConfig):
    with torch.device("meta"):
        network = VisionTransformer(shape)
    assert count_parameters(shape) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "pre_logits", "expected"),
    [
        ("vit_base_patch16_224", 1000, False, 86_567_656),
        ("vit_base_patch16_224", 21843, True, 103_186_515),
        ("vit_large_patch32_224", 1000, False, 306_535_400),
        ("vit_huge_patch14_224", 21843, True, 660_385_363),
    ],
)
def test_the_count_is_that_of_the_paper(name: str, classes: int, pre_logits: bool, expected: int):
    base = variant(name)
    shape = replace(base, num_classes=classes, representation_size=base.embed_dim if pre_logits else None)
    assert count_parameters(shape) == expected


def test_the_list_names_everything_as_the_model_option_takes_it(package: Path):
    rows = list_models(package)
    assert [row.name for row in rows] == ["embedded", *(f"random:{name}" for name in VARIANTS), "noop"]
    assert (rows[0].classes, rows[0].input_height_px, rows[0].input_width_px) == (3, 32, 32)
    assert "vit_pico_patch4_32; knows cat, dog, owl" in rows[0].about
    assert rows[0].parameters < rows[-3].parameters  # by the package's own shape, not by its variant's


def test_an_installation_without_the_embedded_package_lists_the_rest(tmp_path: Path):
    assert list_models(tmp_path)[0].name == "random:vit_tiny_patch16_224"


def test_a_broken_embedded_package_is_named(tmp_path: Path):
    write_files(tmp_path, {"config.json": b"{"})
    with pytest.raises(PackageError, match=r"config\.json"):
        list_models(tmp_path)


def test_table_and_json_tell_the_same(capsys: pytest.CaptureFixture[str]):
    assert main(["models", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["models"]) == 0
    table = capsys.readouterr().out
    for row in rows:
        assert row["name"] in table
        assert f"{row['parameters']:,}" in table
    assert "vit-serve serve --model NAME" in table
