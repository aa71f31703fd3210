"""Owns the tests of insight/attention.py."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.insight.attention import attend, enlarge, mean_distance, patch_distances, roll, study
from app.network.attention import Attention
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig
from tests.insight.networks import DISTILLED, SMALL, STEM, random_network

IMAGES = torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))


def attentions(network: VisionTransformer) -> list[Attention]:
    return [module for module in network.modules() if isinstance(module, Attention)]


@pytest.mark.parametrize("config", [SMALL, DISTILLED, replace(SMALL, position="relative")])
def test_the_weights_are_those_that_the_network_used(config: ViTConfig):
    network, images, n = random_network(config).double(), IMAGES.double(), config.num_tokens
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def record(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        inputs.append(args[0])
        outputs.append(output)

    hooks = [module.register_forward_hook(record) for module in attentions(network)]
    network.forward_features(images)
    for hook in hooks:
        hook.remove()
    seen: list[Tensor] = []
    attend(network, images, seen.append)
    for module, weights, x, output in zip(attentions(network), seen, inputs, outputs, strict=True):
        assert weights.shape == (2, 2, n, n)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, n, dtype=torch.float64))
        assert weights.max() > 0.5  # far from uniform, or this would show nothing
        v = module.qkv(x)[..., 48:].unflatten(-1, (2, 12)).transpose(1, 2)
        torch.testing.assert_close(module.proj((weights @ v).transpose(1, 2).flatten(2)), output)


@pytest.mark.parametrize("config", [SMALL, STEM, replace(SMALL, position="2d_every_layer")])
def test_the_features_are_those_of_the_network(config: ViTConfig):
    network = random_network(config)
    torch.testing.assert_close(attend(network, IMAGES, lambda _: None), network.forward_features(IMAGES))


def test_looking_leaves_no_trace_in_serving():
    network = random_network()
    before, seen = network(IMAGES), list[Tensor]()
    attend(network, IMAGES, seen.append)
    assert network(IMAGES).equal(before)
    assert len(seen) == 3


def test_what_is_added_to_the_logits_counts():
    bias = torch.tensor([[0.0, -math.inf], [0.0, 0.0]])

    class Biased:
        def forward_features(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x, attn_mask=bias)

    weights: list[Tensor] = []
    attend(Biased(), torch.zeros(1, 1, 2, 4), weights.append)  # type: ignore[arg-type]
    assert weights[0][0, 0].tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_distances_between_patches_are_euclidean():
    apart = patch_distances((2, 3), patch_px=16)
    assert apart[0].tolist() == pytest.approx([0, 16, 32, 16, 16 * math.sqrt(2), 16 * math.sqrt(5)])
    assert apart.equal(apart.T)


def test_identity_attention_looks_nowhere():
    apart = patch_distances((3, 5), 8)
    weights = torch.eye(16).expand(2, 4, 16, 16)
    assert mean_distance(weights, apart, renormalise=False).tolist() == [0, 0, 0, 0]


def test_uniform_attention_in_a_row_has_the_distance_of_the_closed_form():
    n, patch_px = 9, 16  # mean of |i - j| over 0 … n-1 twice: (n² - 1) / 3n
    apart = patch_distances((1, n), patch_px)
    weights = torch.full((2, 3, n + 1, n + 1), 1 / (n + 1))
    expected = patch_px * (n * n - 1) / (3 * n)
    assert mean_distance(weights, apart, renormalise=True).tolist() == pytest.approx([expected] * 3)
    lost = n / (n + 1)  # the rest lies on the class token
    assert mean_distance(weights, apart, renormalise=False).tolist() == pytest.approx([expected * lost] * 3)


def test_a_head_that_sees_the_class_token_only_has_no_distance():
    weights = torch.zeros(1, 1, 5, 5)
    weights[..., 0] = 1
    assert mean_distance(weights, patch_distances((2, 2), 8), renormalise=True).tolist() == [0]


def test_rollout_of_uniform_attention_over_layers():
    n, layers = 5, 4
    rollout = None
    for _ in range(layers):
        rollout = roll(rollout, torch.full((1, 2, n, n), 1 / n))
    assert rollout is not None
    expected = torch.eye(n) / 2**layers + (1 - 1 / 2**layers) / n
    torch.testing.assert_close(rollout[0], expected)


def test_rollout_multiplies_later_layers_from_the_left_and_its_rows_sum_to_one():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 1, 3, 6, 6, generator=generator).mul(3).softmax(dim=-1)
    rollout = roll(roll(None, first), second)
    matrices = [0.5 * w.mean(dim=1) + 0.5 * torch.eye(6) for w in (first, second)]
    torch.testing.assert_close(rollout, matrices[1] @ matrices[0])
    torch.testing.assert_close(rollout.sum(dim=-1), torch.ones(1, 6))


def test_a_study_is_the_mean_over_its_photographs_and_a_map_of_each():
    network = random_network()
    both = study(network, IMAGES, patch_px=8)
    alone = [study(network, image[None], patch_px=8) for image in IMAGES]
    assert both.distances.shape == both.renormalised.shape == (3, 2)
    torch.testing.assert_close(both.distances, (alone[0].distances + alone[1].distances) / 2)
    torch.testing.assert_close(both.renormalised, (alone[0].renormalised + alone[1].renormalised) / 2)
    assert (both.renormalised > both.distances).all()
    assert [seen.shape for seen in both.maps] == [(3, 5), (3, 5)]
    assert all(seen.max() == 1 and seen.min() > 0 for seen in both.maps)
    torch.testing.assert_close(both.maps[1], alone[1].maps[0])
    assert both.uniform == pytest.approx(patch_distances((3, 5), 8).mean().item())


def test_the_map_tells_where_the_class_token_looks():
    network = random_network(replace(SMALL, depth=1, num_heads=1))
    (attn,) = attentions(network)
    attn.qkv.weight.zero_()
    attn.qkv.bias.zero_()
    uniform = study(network, IMAGES[:1], patch_px=8).maps[0]
    torch.testing.assert_close(uniform, torch.ones(3, 5))


def test_a_map_is_enlarged_without_moving():
    seen = torch.zeros(3, 5)
    seen[1, 2] = 1
    large = enlarge(seen, 30, 50)
    assert large.shape == (30, 50)
    assert (large > large.max() - 1e-4).nonzero().float().mean(dim=0).tolist() == [14.5, 24.5]
    torch.testing.assert_close(large, large.flip(0, 1))
