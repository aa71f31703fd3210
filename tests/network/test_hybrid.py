"""Owns the tests of network/hybrid.py."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from app.domain import PreprocessSpec
from app.network.fold import PIXEL_OFFSET, fold_normalisation
from app.network.hybrid import SameConv2d, StdConv2d, same_padding, standardise
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig, variant

SMALL = ViTConfig((40, 48), 1, 32, 2, 2, num_classes=5, backbone_layers=(1, 2))


def drawn(config: ViTConfig = SMALL) -> VisionTransformer:
    """A network in which every number matters."""
    torch.manual_seed(0)
    network = VisionTransformer(config)
    network.init_weights()
    for tensor in network.state_dict().values():
        tensor.add_(torch.randn_like(tensor) * 0.1)
    return network.double().eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("name", "channels", "map_size", "grid", "tokens"),
    [
        ("vit_base_r50_s16_224", 1024, 14, (14, 14), 197),
        ("vit_base_r50_s16_384", 1024, 24, (24, 24), 577),
        ("vit_large_r50_s32_224", 2048, 7, (7, 7), 50),
        ("vit_small_r26_s32_224", 2048, 7, (7, 7), 50),
        ("vit_tiny_r_s16_p8_224", 64, 56, (7, 7), 50),
        ("vit_tiny_r_s16_p8_384", 64, 96, (12, 12), 145),
    ],
)
def test_the_geometry_of_each_hybrid(name: str, channels: int, map_size: int, grid: tuple[int, int], tokens: int):
    config = variant(name)
    with torch.device("meta"):
        network, x = VisionTransformer(config), torch.zeros(2, 3, *config.img_size)
        assert network.patch_embed.backbone(x).shape == (2, channels, map_size, map_size)
        assert network.embed(x).shape == (2, tokens, config.embed_dim)
    assert config.grid_size == grid


@pytest.mark.parametrize("layers", [(), (1,), (1, 1), (1, 1, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("size", [(64, 64), (65, 33), (40, 56)])
def test_the_grid_is_what_comes_out_of_the_convolutions(layers: tuple[int, ...], size: tuple[int, int]):
    config = replace(SMALL, img_size=size, backbone_layers=layers)
    with torch.device("meta"):
        tokens = VisionTransformer(config).embed(torch.zeros(1, 3, *size))
    assert tokens.shape == (1, config.num_tokens, 32)


@pytest.mark.parametrize(("size", "kernel", "stride", "expected"), [
    (224, 7, 2, (2, 3)), (384, 7, 2, (2, 3)), (225, 7, 2, (3, 3)), (112, 3, 2, (0, 1)), (113, 3, 2, (1, 1)),
    (56, 1, 2, (0, 0)), (57, 1, 2, (0, 0)), (14, 3, 1, (1, 1)),
])  # fmt: skip
def test_padding_is_tensorflows(size: int, kernel: int, stride: int, expected: tuple[int, int]):
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize("size", range(5, 13))
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (3, 1), (1, 2), (1, 1)])
def test_a_convolution_by_hand(size: int, kernel: int, stride: int):
    """The rule as TensorFlow's documentation has it, one window at a time."""
    torch.manual_seed(0)
    convolution = SameConv2d(2, 3, kernel, stride).double()
    torch.nn.init.normal_(convolution.weight)
    x = torch.randn(1, 2, size, size + 3, dtype=torch.float64)
    outs = [math.ceil(n / stride) for n in (size, size + 3)]
    starts = [max((out - 1) * stride + kernel - n, 0) // 2 for out, n in zip(outs, (size, size + 3), strict=True)]
    with torch.no_grad():
        found = convolution(x)
    assert found.shape == (1, 3, *outs)
    roomy = F.pad(x, (8, 8, 8, 8))
    for i in range(outs[0]):
        for j in range(outs[1]):
            top, left = i * stride - starts[0] + 8, j * stride - starts[1] + 8
            window = roomy[0, :, top : top + kernel, left : left + kernel]
            expected = (convolution.weight.detach() * window).sum((1, 2, 3))
            torch.testing.assert_close(found[0, :, i, j], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("form", "eps"), [("variance", 0.5), ("deviation", 0.5), ("variance", 1e-8)])
def test_weights_are_standardised_over_each_filter(form: str, eps: float):
    config = replace(SMALL, standardization=form, standardization_eps=eps)  # type: ignore[arg-type]
    convolution = StdConv2d(4, 6, 3, 1, config).double()
    torch.nn.init.normal_(convolution.weight, mean=1, std=3)
    for raw, found in zip(convolution.weight, convolution.standardised_weight(), strict=True):
        numbers = raw.flatten().tolist()
        mean = sum(numbers) / len(numbers)
        variance = sum((number - mean) ** 2 for number in numbers) / len(numbers)
        scale = math.sqrt(variance + eps) if form == "variance" else math.sqrt(variance) + eps
        expected = torch.tensor([(number - mean) / scale for number in numbers], dtype=torch.float64)
        torch.testing.assert_close(found.flatten(), expected, atol=1e-12, rtol=0)


def test_standardising_once_changes_nothing_but_the_kind_of_layer():
    network = drawn()
    served = copy.deepcopy(network)
    standardise(served)
    assert not any(isinstance(module, StdConv2d) for module in served.modules())
    assert served.state_dict().keys() == network.state_dict().keys()
    x = torch.randn(2, 3, 40, 48, dtype=torch.float64)
    torch.testing.assert_close(served(x), network(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("layers", [(), (1, 1)])
@pytest.mark.parametrize(
    "mean", [(128 / 255,) * 3, (0.5,) * 3, (0.485, 0.456, 0.406)], ids=["middle", "half", "colour"]
)
def test_pixels_give_the_logits_of_normalised_input(mean: tuple[float, float, float], layers: tuple[int, ...]):
    spec = PreprocessSpec(40, 48, mean=mean, std=(0.25, 0.23, 0.26))
    network = drawn(replace(SMALL, backbone_layers=layers))
    folded = copy.deepcopy(network)
    fold_normalisation(folded, spec)
    assert (folded.patch_embed.input_shift is None) == (mean[0] == 128 / 255)
    pixels = torch.randint(0, 256, (3, 3, 40, 48)).double()
    means, stds = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    torch.testing.assert_close(folded(pixels - PIXEL_OFFSET), network((pixels / 255 - means) / stds), atol=1e-9, rtol=0)


def test_in_bfloat16_the_answer_is_near():
    network = drawn().float()
    fold_normalisation(network, PreprocessSpec(40, 48, mean=(0.5,) * 3, std=(0.5,) * 3))
    pixels = torch.randint(0, 256, (8, 3, 40, 48)).float() - PIXEL_OFFSET
    exact = network(pixels)
    rounded = network.bfloat16()(pixels.bfloat16()).float()
    assert (rounded - exact).abs().max() < 0.1 * exact.std()


def test_standardisation_in_bfloat16_counts_in_float32():
    convolution = StdConv2d(64, 8, 3, 1, SMALL)
    torch.nn.init.normal_(convolution.weight, mean=5)
    convolution.bfloat16()
    exact = copy.deepcopy(convolution).double().standardised_weight()
    torch.testing.assert_close(convolution.standardised_weight().double(), exact, atol=0.01, rtol=0.01)


def test_a_new_residual_unit_is_its_shortcut():
    torch.manual_seed(0)
    network = VisionTransformer(SMALL)
    network.init_weights()
    unit = network.patch_embed.backbone.get_submodule("stages.1.blocks.1")
    x = torch.rand(1, 512, 5, 6)
    assert torch.equal(unit(x), x)
    assert not any(module.weight.isnan().any() for module in network.modules() if isinstance(module, SameConv2d))


def test_names_are_timms():
    names = set(VisionTransformer(SMALL).patch_embed.state_dict())
    for name in ("stem.conv.weight", "stem.norm.bias", "stages.0.blocks.0.downsample.conv.weight"):
        assert f"backbone.{name}" in names
    assert "backbone.stages.1.blocks.1.norm3.weight" in names
    assert not any("blocks.1.downsample" in name for name in names)
    root = set(VisionTransformer(replace(SMALL, backbone_layers=())).patch_embed.state_dict())
    assert root == {"backbone.conv.weight", "backbone.norm.weight", "backbone.norm.bias", "proj.weight", "proj.bias"}


@pytest.mark.parametrize(
    "wrong", [{"backbone_layers": (1, 0)}, {"backbone_layers": (1,) * 5}, {"img_size": (40, 0)}, {"patch_size": 6}]
)
def test_a_backbone_that_cannot_be_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=r"backbone_layers|holds no patch"):
        replace(SMALL, **wrong)  # type: ignore[arg-type]
