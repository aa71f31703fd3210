"""Owns the tests of distilled networks, dead heads and the constants that differ by origin."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.network.mlp import Mlp
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig

SMALL = ViTConfig((16, 16), 4, 24, 3, 2, num_classes=5)


def drawn(config: ViTConfig) -> VisionTransformer:
    torch.manual_seed(0)
    network = VisionTransformer(config).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval().requires_grad_(False)


def image() -> Tensor:
    return torch.randn(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_the_answer_is_the_mean_of_both_heads():
    network = drawn(replace(SMALL, distilled=True))
    features = network.forward_features(image())
    assert features.shape == (3, 18, 24)
    assert network.head_dist is not None
    both = network.head(features[:, 0]), network.head_dist(features[:, 1])
    torch.testing.assert_close(network(image()), (both[0] + both[1]) / 2, atol=1e-12, rtol=0)
    pair = network.train()(image())
    assert isinstance(pair, tuple)
    for found, expected in zip(pair, both, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_the_tokens_are_class_distillation_patches():
    network = drawn(replace(SMALL, distilled=True))
    tokens = network.embed(image())
    patches = network.patch_embed(image())
    assert network.dist_token is not None
    tables = network.position_tables()
    assert tables is not None
    torch.testing.assert_close(tokens[:, 0], (network.cls_token[0] + tables[0, :1]).expand(3, -1))
    torch.testing.assert_close(tokens[:, 1], (network.dist_token[0] + tables[0, 1:2]).expand(3, -1))
    torch.testing.assert_close(tokens[:, 2:], patches + tables[0, 2:])


def test_a_plain_network_as_the_distilled_one_without_its_second_token():
    """Masked out of attention, the distillation token leaves the class token's logits as they were without it."""
    distilled = drawn(replace(SMALL, distilled=True, depth=1))
    plain = drawn(replace(SMALL, depth=1))
    state = distilled.state_dict()
    table = state["pos_embed"]
    names = plain.state_dict().keys()
    plain.load_state_dict({name: state[name] for name in names} | {"pos_embed": table[:, [0, *range(2, 18)]]})
    tokens = distilled.embed(image())
    expected = plain.head(plain.norm(plain.blocks(tokens[:, [0, *range(2, 18)]]))[:, 0])
    torch.testing.assert_close(plain(image()), expected, atol=1e-12, rtol=0)


def test_patch_dropout_keeps_both_prefix_tokens():
    network = drawn(replace(SMALL, distilled=True, patch_drop_rate=0.75))
    whole = network.embed(image())
    kept = network.train().embed(image())
    assert kept.shape == (3, 2 + 4, 24)
    assert torch.equal(kept[:, :2], whole[:, :2])


def test_a_distilled_network_with_a_layer_before_its_heads_is_refused():
    with pytest.raises(ValueError, match="representation_size"):
        replace(SMALL, distilled=True, representation_size=24)


@pytest.mark.parametrize("distilled", [False, True])
def test_a_head_is_dead_if_no_weight_of_any_is_alive(distilled: bool):
    network = drawn(replace(SMALL, distilled=distilled))
    assert not network.has_dead_head
    network.head.weight.zero_()
    assert network.has_dead_head == (not distilled)
    if network.head_dist is not None:
        network.head_dist.weight.zero_()
        assert network.has_dead_head
    assert network(image()).std(dim=0).max() < 1e-12  # the same for every image


@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_gelu_by_hand(form: str):
    mlp = Mlp(replace(SMALL, gelu=form)).double()  # type: ignore[arg-type]
    x = torch.linspace(-5, 5, 1001, dtype=torch.float64)
    inner = x / 2**0.5 if form == "erf" else (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
    expected = x / 2 * (1 + (torch.erf(inner) if form == "erf" else torch.tanh(inner)))
    torch.testing.assert_close(mlp.act(x), expected, atol=1e-12, rtol=0)
    assert abs((mlp.act(x) - F.gelu(x)).abs().max().item() - (0 if form == "erf" else 4.73e-4)) < 2e-6


@pytest.mark.parametrize("changed", [{"gelu": "tanh"}, {"norm_eps": 0.1}, {"group_norm_eps": 0.1},
                                     {"standardization": "deviation", "standardization_eps": 0.1},
                                     {"standardization_eps": 0.1}])  # fmt: skip
def test_each_constant_is_at_work(changed: dict[str, object]):
    hybrid = replace(SMALL, img_size=(32, 32), patch_size=1, backbone_layers=(1,))
    one, other = drawn(hybrid), drawn(replace(hybrid, **changed))  # type: ignore[arg-type]
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    assert (one(x) - other(x)).abs().max() > 1e-6
