"""Owns the tests of package/parameters.py."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from app.network.vit import VisionTransformer
from app.package.parameters import count_parameters
from app.package.variants import VARIANTS, Position, ViTConfig, variant

SMALL = ViTConfig(img_size=(40, 24), patch_size=8, embed_dim=24, depth=3, num_heads=2, num_classes=7)


@pytest.mark.parametrize(
    "shape",
    [
        variant("vit_pico_patch4_32"),
        variant("vit_tiny_patch16_224"),
        SMALL,
        replace(SMALL, qkv_bias=False),
        replace(SMALL, reg_tokens=3, init_values=1e-5, mlp_layer="swiglu_packed", global_pool="token_avg"),
        replace(SMALL, class_token=False, global_pool="map", qk_norm=True, proj_bias=False),
        replace(SMALL, class_token=False, global_pool="avg", mlp_layer="swiglu", pre_norm=True),
        replace(SMALL, global_pool="avg", final_norm=False, position="none"),
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
        replace(SMALL, backbone_layers=(1, 2), patch_size=1, img_size=(64, 96)),
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


@pytest.mark.parametrize("name", VARIANTS)
def test_the_count_of_every_variant_is_that_of_the_network_built(name: str) -> None:
    with torch.device("meta"):
        network = VisionTransformer(variant(name))
    assert count_parameters(variant(name)) == sum(p.numel() for p in network.parameters())
