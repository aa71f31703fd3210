"""Owns the tests of insight/summary.py."""

from dataclasses import replace

import pytest

from app.insight.summary import Layer, summarise
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig, variant
from tests.insight.networks import DISTILLED, SMALL, STEM

# Published figures, both products of attention included, norms and softmax not.
GIGA_MACS = {
    ("vit_tiny_patch16_224", 224): 1.254,
    ("vit_small_patch32_224", 224): 1.143,
    ("vit_small_patch16_224", 384): 15.490,
    ("vit_base_patch32_224", 224): 4.409,
    ("vit_base_patch16_224", 224): 17.564,
    ("vit_base_patch16_224", 384): 55.484,
    ("vit_base_patch8_224", 224): 78.148,
    ("vit_large_patch32_224", 224): 15.378,
    ("vit_large_patch16_224", 384): 191.066,
    ("vit_huge_patch14_224", 384): 503.481,
    ("vit_tiny_r_s16_p8_224", 224): 0.434,
    ("vit_small_r26_s32_224", 384): 10.264,
    ("vit_base_r26_s32_224", 224): 6.711,
    ("vit_base_r50_s16_224", 224): 21.535,
    ("vit_large_r50_s32_224", 384): 57.136,
    ("deit_tiny_distilled_patch16_224", 224): 1.261,
    ("deit_base_distilled_patch16_224", 384): 55.591,
}


def formula(config: ViTConfig) -> int:
    """Multiply-accumulates of a plain ViT by hand."""
    n, d, hidden = config.num_tokens, config.embed_dim, int(config.embed_dim * config.mlp_ratio)
    channels, side = (config.stem_widths[-1], 1) if config.stem_widths else (config.in_chans, config.patch_size)
    patches = (n - config.num_prefix_tokens) * channels * side**2 * d + stem(config)
    blocks = config.depth * (n * (4 * d * d + 2 * d * hidden) + 2 * n * n * d)
    size = config.representation_size
    return patches + blocks + (d * size if size else 0) + (size or d) * config.num_classes * config.num_prefix_tokens


def stem(config: ViTConfig) -> int:
    """3x3 convolutions: one to 32 channels, then two for each width, the first at full size, the second at half."""
    macs, before, pixels = 0, 32, config.img_size[0] * config.img_size[1]
    for width in config.stem_widths:
        macs += 9 * pixels * (before * width + width * width // 4)
        before, pixels = width, pixels // 4
    return macs + 9 * config.img_size[0] * config.img_size[1] * config.in_chans * 32 if config.stem_widths else 0


@pytest.mark.parametrize(("name", "size"), GIGA_MACS)
def test_macs_are_the_published_ones(name: str, size: int):
    config = replace(variant(name), img_size=(size, size))
    macs = summarise(config).macs
    assert config.backbone_layers is not None or macs == formula(config)
    assert macs / 1e9 == pytest.approx(GIGA_MACS[name, size], abs=5e-4)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, depth=1),
        replace(SMALL, img_size=(8, 8)),
        replace(SMALL, qkv_bias=False, mlp_ratio=2.5),
        replace(SMALL, representation_size=10),
        replace(SMALL, in_chans=1),
        STEM,
        DISTILLED,
        *(replace(SMALL, position=kind) for kind in ("none", "2d", "1d_shared", "1d_every_layer", "2d_every_layer")),
    ],
)
def test_the_layers_add_up_to_the_network(config: ViTConfig):
    summary = summarise(config)
    assert summary.macs == sum(layer.macs for layer in summary.layers) == formula(config)
    assert summary.parameters == sum(layer.parameters for layer in summary.layers)
    assert summary.parameters == sum(p.numel() for p in VisionTransformer(config).parameters())


def test_relative_positions_cost_a_product_of_queries_and_offsets():
    n, d = SMALL.num_tokens, SMALL.embed_dim
    summary = summarise(replace(SMALL, position="relative"))
    assert summary.macs == formula(SMALL) + SMALL.depth * n * (2 * n - 1) * d
    assert summary.parameters == sum(layer.parameters for layer in summary.layers)


def test_tables_of_several_layers_are_counted():
    [table] = [x for x in summarise(replace(SMALL, position="1d_every_layer")).layers if x.name == "pos_embed"]
    assert table == Layer("pos_embed", (3, 16, 24), 3 * 16 * 24)


def test_a_hybrid_has_a_line_for_each_stage():
    layers = {layer.name: layer for layer in summarise(variant("vit_base_r50_s16_224")).layers}
    assert list(layers)[:5] == [
        "patch_embed.backbone.stem",
        *(f"patch_embed.backbone.stages.{i}" for i in range(3)),
        "patch_embed.proj",
    ]
    assert layers["patch_embed.backbone.stages.2"].shape == (1024, 14, 14)
    assert sum(x.parameters for name, x in layers.items() if "backbone" in name) == 11_894_848


def test_served_is_what_the_head_needs_of_the_last_block():
    n, d = SMALL.num_tokens, SMALL.embed_dim
    summary = summarise(SMALL)
    other_rows = (n - 1) * (2 * d * d + 8 * d * d) + 2 * n * (n - 1) * d
    assert summary.served_macs == summary.macs - other_rows


def test_layers_come_in_the_order_of_the_forward_pass_with_equal_blocks_in_one():
    summary = summarise(SMALL)
    assert [layer.name for layer in summary.layers] == [
        *("patch_embed.proj", "cls_token", "pos_embed"),
        *("blocks.0-2.norm1", "blocks.0-2.attn", "blocks.0-2.norm2", "blocks.0-2.mlp"),
        *("norm", "head"),
    ]
    n, d = 16, 24
    assert summary.layers[0] == Layer("patch_embed.proj", (d, 3, 5), 3 * 64 * d + d, 15 * 3 * 64 * d)
    assert summary.layers[2] == Layer("pos_embed", (n, d), n * d)
    attention = 3 * (4 * d * d + 4 * d), 3 * (4 * n * d * d + 2 * n * n * d)
    assert summary.layers[4] == Layer("blocks.0-2.attn", (n, d), *attention, count=3)
    assert summary.layers[-1] == Layer("head", (7,), 7 * d + 7, 7 * d)


def test_a_single_block_keeps_its_number():
    assert "blocks.0.attn" in [layer.name for layer in summarise(replace(SMALL, depth=1)).layers]


def test_counting_takes_no_memory_for_weights():
    config = replace(variant("vit_huge_patch14_224"), embed_dim=163_840, depth=2)  # 2.6 TB of weights
    assert summarise(config).macs == formula(config)


def test_a_stem_has_a_line_for_each_convolution():
    layers = summarise(STEM).layers
    assert [layer.name for layer in layers[:8]] == [*(f"patch_embed.stem.{i}" for i in range(7)), "patch_embed.proj"]
    assert [layer.shape for layer in layers[:3]] == [(32, 24, 40), (8, 12, 20), (8, 12, 20)]
    assert layers[0].parameters == 3 * 9 * 32 + 2 * 32
    assert layers[8].name == "cls_token"
