"""Owns the tests of training/optimizers.py."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from app.network.vit import VisionTransformer
from app.training.optimizers import Optimizers
from tests.training.pictures import RECIPE, SHAPE

STEM = replace(SHAPE, patch_size=4, stem_widths=(8, 16))


def network() -> VisionTransformer:
    torch.manual_seed(0)
    subject = VisionTransformer(STEM)
    subject.init_weights()
    return subject


def filters(of: VisionTransformer) -> list[nn.Parameter]:
    return [p for p in of.patch_embed.stem.parameters() if p.ndim == 4]


def step(of: VisionTransformer, optimizers: Optimizers, factor: float = 1.0, scale: float = 1.0) -> None:
    torch.manual_seed(1)
    for parameter in of.parameters():
        parameter.grad = torch.randn_like(parameter) * scale
    optimizers.step(factor)


def test_filters_keep_their_length_and_turn_by_the_share_that_the_rate_says():
    subject = network()
    optimizers = Optimizers(subject, replace(RECIPE, stem_learning_rate=0.1))
    step(subject, optimizers, factor=0.0)  # only the length is set
    before = [p.detach().clone() for p in filters(subject)]
    step(subject, optimizers)
    for old, new in zip(before, filters(subject), strict=True):
        assert new.norm().item() == pytest.approx(math.sqrt(len(new)), rel=1e-5)
        turned = (new - old).norm() / old.norm()
        assert 0.05 < turned < 0.15


def test_the_size_of_the_gradient_does_not_matter_to_filters():
    one, other, still = network(), network(), network()
    step(one, Optimizers(one, RECIPE), scale=1.0)
    step(other, Optimizers(other, RECIPE), scale=1024.0)
    step(still, Optimizers(still, RECIPE), factor=0.0)
    for ours, theirs, before in zip(filters(one), filters(other), filters(still), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        assert not torch.allclose(ours, before, atol=1e-4)


def test_each_group_has_its_own_peak():
    subject = network()
    optimizers = Optimizers(subject, replace(RECIPE, learning_rate=0.01, stem_learning_rate=0.1))
    step(subject, optimizers, factor=0.5)
    assert optimizers.learning_rate == 0.005
    rates = [group["lr"] for optimizer in optimizers.each for group in optimizer.param_groups]
    assert rates == pytest.approx([0.005, 0.005, 0.005, 0.05])
    assert [o.param_groups[0]["momentum"] for o in optimizers.each[1:]] == [RECIPE.momentum] * 2


def test_what_was_saved_goes_on_as_if_nothing_had_been():
    one, other = network(), network()
    ours, theirs = Optimizers(one, RECIPE), Optimizers(other, RECIPE)
    step(one, ours)
    step(other, theirs)
    resumed = Optimizers(other, RECIPE)
    resumed.load_state_dict(theirs.state_dict())
    for at in (ours, resumed):
        step(one if at is ours else other, at, factor=0.3)
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_the_state_of_another_network_is_refused():
    plain = VisionTransformer(SHAPE)
    with pytest.raises(ValueError):
        Optimizers(network(), RECIPE).load_state_dict(Optimizers(plain, RECIPE).state_dict())
