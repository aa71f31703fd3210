"""Owns the tests of insight/filters.py."""

import pytest
import torch

from app.insight.filters import pixel_filters, principal_components, whitening_filters
from app.package.variants import ViTConfig
from tests.insight.networks import HYBRID, SMALL, STEM, random_network


def test_components_are_found_in_the_order_of_their_variance():
    pure = torch.zeros(3, 3, 2, 2)
    pure[0, 0, 0, 1], pure[1, 1, 1, 0], pure[2, 2, 1, 1] = -1.0, 1.0, -1.0
    scales = torch.tensor([5.0, 3.0, 1.0]).view(3, 1, 1, 1)
    filters = torch.cat([pure * scales, -pure * scales]) + 7  # what all filters share is no component
    components, shares = principal_components(filters)
    assert components.shape == (5, 2, 2, 3)  # six filters, less their mean
    torch.testing.assert_close(shares[:3], torch.tensor([25.0, 9.0, 1.0]) / 35)
    expected = torch.zeros(2, 2, 3)
    expected[0, 1, 0] = 1.0  # positive, whatever the sign of the filter
    torch.testing.assert_close(components[0], expected)
    torch.testing.assert_close(components[1], pure[1].permute(1, 2, 0))


def test_the_picture_does_not_hang_on_the_sign_of_the_filters():
    weight = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    components, shares = principal_components(weight)
    assert components.shape == (28, 8, 8, 3)
    assert components.amin(dim=(1, 2, 3)).eq(0).all()
    assert components.amax(dim=(1, 2, 3)).eq(1).all()
    assert shares.sum() < 1
    torch.testing.assert_close(principal_components(-weight)[0], components)


@pytest.mark.parametrize(
    ("shape", "count"), [((100, 3, 3, 3), 27), ((5, 3, 8, 8), 4), ((2, 3, 1, 1), 1), ((100, 3, 16, 16), 28)]
)
def test_there_are_no_more_components_than_dimensions(shape: tuple[int, ...], count: int):
    components, shares = principal_components(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    assert len(components) == len(shares) == count
    assert components.isfinite().all()


def test_filters_that_are_all_alike_have_components_without_variance():
    components, shares = principal_components(torch.ones(4, 3, 2, 2))
    assert components.isfinite().all()
    assert shares.eq(0).all()


@pytest.mark.parametrize(("config", "layer"), [(SMALL, "patch_embed.proj"), (STEM, "patch_embed.stem.0.conv")])
def test_the_filters_are_those_that_see_pixels(config: ViTConfig, layer: str):
    network = random_network(config)
    name, weight = pixel_filters(network)
    assert name == layer
    assert weight is network.get_parameter(f"{layer}.weight")


def test_a_hybrid_has_filters_as_they_are_used():
    network = random_network(HYBRID)
    name, weight = pixel_filters(network)
    assert (name, weight.shape) == ("patch_embed.backbone.stem.conv", (64, 3, 7, 7))
    torch.testing.assert_close(weight.mean(dim=(1, 2, 3)), torch.zeros(64), atol=1e-6, rtol=0)


def test_filters_that_are_there_with_both_signs_are_shown_as_they_are():
    half = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    shown = whitening_filters(torch.cat([half, -half]))
    assert shown is not None
    for picture, filters in zip(shown, half, strict=True):
        sign = filters.flatten()[filters.abs().argmax()].sign()
        expected = sign * filters
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        torch.testing.assert_close(picture, expected.permute(1, 2, 0))
    assert whitening_filters(torch.cat([half, half])) is None
    assert whitening_filters(half) is None
