"""Owns the tests of package/variants.py: the exact sizes of every row, and that each can be served and trained."""

from dataclasses import replace

import pytest
import torch

from app.checkpoints.sources import load_model
from app.network.fold import PIXEL_OFFSET, fold_normalisation
from app.network.vit import VisionTransformer
from app.package.variants import VARIANTS, ViTConfig, variant

# Without head, 1000 classes, 1000 + pre-logits, 21841, 21843, 21843 + pre-logits, 1000 at 384 px. The 1000-class
# columns are Google's own `models_test.py` for the hybrids; what timm says of DeiT, to its two decimals, below.
HYBRIDS = {
    "vit_tiny_r_s16_p8": (6_144_704, 6_337_704, 6_374_760, 10_360_017, 10_360_403, 10_397_459, 6_355_944),
    "vit_small_r26_s32": (36_046_912, 36_431_912, 36_579_752, 44_455_697, 44_456_467, 44_604_307, 36_468_392),
    "vit_base_r26_s32": (
        *(100_614_976, 101_383_976, 101_974_568, 117_410_705, 117_412_243, 118_002_835),
        101_456_936,
    ),
    "vit_base_r50_s16": (97_890_112, 98_659_112, 99_249_704, 114_685_841, 114_687_379, 115_277_971, 98_950_952),
    "vit_large_r50_s32": (
        *(327_969_856, 328_994_856, 330_044_456, 350_356_881, 350_358_931, 351_408_531),
        329_092_136,
    ),
}
AT_384 = {
    "vit_tiny_patch16_384": 5_790_376,
    "vit_small_patch32_384": 22_915_432,
    "vit_small_patch16_384": 22_196_584,
    "vit_base_patch32_384": 88_297_192,
    "vit_base_patch16_384": 86_859_496,
    "vit_large_patch32_384": 306_632_680,
    "vit_large_patch16_384": 304_715_752,
}
DEIT = {
    "deit_tiny_distilled_patch16_224": 5_910_800,
    "deit_small_distilled_patch16_224": 22_436_432,
    "deit_base_distilled_patch16_224": 87_338_192,
    "deit_base_distilled_patch16_384": 87_630_032,
    "deit_tiny_patch16_224": 5_717_416,
    "deit_small_patch16_224": 22_050_664,
    "deit_base_patch16_224": 86_567_656,
    "deit_base_patch16_384": 86_859_496,
}
BACKBONES = {"vit_tiny_r_s16_p8": 9_536, "vit_small_r26_s32": 13_946_176, "vit_base_r50_s16": 11_894_848}
NEW = [name for name in VARIANTS if name.startswith("deit") or "_r" in name or name.endswith("_384")]


def built(config: ViTConfig) -> VisionTransformer:
    with torch.device("meta"):
        return VisionTransformer(config)


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", HYBRIDS)
def test_parameters_of_hybrids(name: str):
    base, expected = variant(f"{name}_224"), HYBRIDS[name]
    heads = [(1000, None), (1000, base.embed_dim), (21841, None), (21843, None), (21843, base.embed_dim)]
    networks = [built(replace(base, num_classes=classes, representation_size=hidden)) for classes, hidden in heads]
    at_384 = replace(base, img_size=(384, 384))
    assert [count(network) for network in networks] == list(expected[1:6])
    assert count(networks[0]) - count(networks[0].head) == expected[0]
    assert count(built(at_384)) == expected[6]
    assert VARIANTS.get(f"{name}_384", at_384) == at_384
    if name in BACKBONES:
        assert count(networks[0].patch_embed.backbone) == BACKBONES[name]


@pytest.mark.parametrize(("name", "expected"), [*AT_384.items(), *DEIT.items()])
def test_parameters_of_the_rest(name: str, expected: int):
    assert count(built(variant(name))) == expected


def test_the_tensors_of_r50_b16_are_as_many_as_timms():
    assert len(built(variant("vit_base_r50_s16_224")).state_dict()) == 308


@pytest.mark.parametrize("name", NEW)
def test_every_new_row_is_one_of_the_paper_or_deit(name: str):
    config = variant(name)
    assert config.img_size == ((384, 384) if name.endswith("_384") else (224, 224))
    assert config.distilled == ("distilled" in name)
    assert (config.backbone_layers is not None) == ("_r" in name)


SERVED = [name for name in NEW if name.endswith("_224") and "large" not in name and "base" not in name]


@pytest.mark.parametrize("name", [*SERVED, "vit_base_r50_s16_224"])
def test_each_is_served_with_random_weights(name: str):
    package = load_model(f"random:{name}")
    fold_normalisation(package.network, package.preprocess)
    pixels = torch.randint(0, 256, (1, 3, 224, 224)).float() - PIXEL_OFFSET
    with torch.inference_mode():
        exact = package.network(pixels)
        rounded = package.network.bfloat16()(pixels.bfloat16())
    assert exact.shape == (1, 1000)
    assert exact.std() > 0
    assert (rounded.float() - exact).abs().max() < 0.2 * exact.abs().max()
