"""Numbers that must not move: golden logits, small variants, initial weights of every kind, both forms of attention."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from app.network.attention import Attention
from app.network.mlp import Mlp
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig, variant

SMALL = replace(variant("vit_pico_patch4_32"), depth=3)


def waves(*shape: int, start: int = 0) -> Tensor:
    """Values without a random generator, which may change from one torch to the next."""
    count = torch.Size(shape).numel()
    return (torch.arange(start, start + count, dtype=torch.float64) * 0.7).sin().reshape(shape)


def filled(config: ViTConfig) -> VisionTransformer:
    network = VisionTransformer(config).double().eval().requires_grad_(False)
    for i, parameter in enumerate(network.parameters()):
        parameter.copy_(0.3 * waves(*parameter.shape, start=1000 * i))
    return network


@pytest.mark.parametrize(
    ("hidden", "golden"),
    [
        (None, [-5.067650998196, -2.936331701107, 5.003134925810, 1.805742188773]),
        (96, [-0.301167425747, 0.949565243097, -0.307006886458, -1.142856741893]),
    ],
)
def test_golden_logits(hidden: int | None, golden: list[float]) -> None:
    network = filled(replace(SMALL, representation_size=hidden))
    logits = network(waves(1, 3, 32, 32))[0, :4]
    torch.testing.assert_close(logits, torch.tensor(golden, dtype=torch.float64), atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("name", "width", "depth", "tokens", "parameters"),
    [
        ("vit_pico_patch4_32", 128, 4, 65, 809_354),
        ("vit_nano_patch4_32", 192, 6, 65, 2_693_578),
        ("vit_micro_patch4_32", 256, 8, 65, 6_350_602),
    ],
)
def test_our_own_variants(name: str, width: int, depth: int, tokens: int, parameters: int) -> None:
    config = variant(name)
    assert (config.embed_dim, config.depth, config.num_tokens) == (width, depth, tokens)
    by_formula = 3 * 16 * width + width + width + tokens * width + depth * (12 * width**2 + 13 * width)
    by_formula += 2 * width + width * 10 + 10
    assert sum(p.numel() for p in VisionTransformer(config).parameters()) == by_formula == parameters


def test_the_convolutional_variant_is_counted_by_hand() -> None:
    config = variant("vit_nano_conv8_32")
    channels = ((3, 32), (32, 64), (64, 64), (64, 256), (256, 256), (256, 256), (256, 256))
    stem = sum(9 * inputs * outputs + 2 * outputs for inputs, outputs in channels)  # normalised, so without bias
    width = config.embed_dim
    encoder = 256 * width + width + width + 17 * width + 2 * (12 * width**2 + 13 * width) + 2 * width + width * 10 + 10
    assert sum(p.numel() for p in VisionTransformer(config).parameters()) == stem + encoder == 3_628_458


def test_a_network_without_qkv_bias_has_the_same_shortcut() -> None:
    network = filled(replace(SMALL, qkv_bias=False))
    assert "blocks.0.attn.qkv.bias" not in network.state_dict()
    x = waves(2, 3, 32, 32)
    torch.testing.assert_close(network(x), network.forward_head(network.forward_features(x)), atol=1e-10, rtol=0)
    network.init_weights()
    assert network(x).isfinite().all()


@pytest.mark.parametrize("hidden", [None, 64])
def test_initial_weights_of_every_kind(hidden: int | None) -> None:
    torch.manual_seed(0)
    network = filled(replace(SMALL, representation_size=hidden, num_classes=500)).float()  # nothing may be left over
    network.init_weights()
    stds = {name: value.std().item() for name, value in network.state_dict().items() if value.std() > 0}
    expected = dict.fromkeys(stds, 0.01) | {"pos_embed": 0.02, "cls_token": 0.02}
    expected["patch_embed.proj.weight"] = (2 / (128 * 4 * 4)) ** 0.5  # Kaiming, fan out
    assert stds == {name: pytest.approx(value, rel=0.15) for name, value in expected.items()}
    for name, value in network.state_dict().items():
        if name not in stds:
            assert (value == (1 if name.endswith("weight") else 0)).all(), name
    assert {name for name in stds if "norm" in name or name.endswith("bias")} == set()


def test_each_dropout_is_at_work_in_training() -> None:
    attention, mlp = Attention(replace(SMALL, drop_rate=0.5)).train(), Mlp(replace(SMALL, drop_rate=0.5)).train()
    weightless = Attention(replace(SMALL, attn_drop_rate=0.5)).train()
    for parameter in (p for m in (attention, mlp, weightless) for p in m.parameters()):
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(1, 5, 128)
    assert (attention(x) == 0).float().mean() == pytest.approx(0.5, abs=0.15)
    assert (mlp(x) == 0).float().mean() == pytest.approx(0.5, abs=0.15)
    assert not torch.equal(weightless(x), weightless(x))
    assert torch.equal(weightless.eval()(x), weightless(x))


def test_a_huge_network_is_shaped_at_once() -> None:
    with torch.device("meta"):
        network = VisionTransformer(replace(variant("vit_huge_patch14_224"), num_classes=21843))
    assert {p.device.type for p in network.parameters()} == {"meta"}
    assert network.state_dict()["blocks.31.attn.qkv.weight"].shape == (3840, 1280)
