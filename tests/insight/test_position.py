"""Owns the tests of insight/position.py."""

import math

import pytest
import torch

from app.insight.position import patch_table, similarity
from tests.insight.networks import random_network


def sinusoids(rows: int, columns: int) -> torch.Tensor:
    """One turn of a circle down and one across: the cosine between two positions is known."""
    down = 2 * math.pi * torch.arange(rows) / rows
    across = 2 * math.pi * torch.arange(columns) / columns
    parts = [f(angle) for angle in torch.meshgrid(down, across, indexing="ij") for f in (torch.sin, torch.cos)]
    return torch.stack(parts, dim=-1) * 3  # a length that must not matter


@pytest.mark.parametrize(("rows", "columns"), [(7, 7), (14, 14), (24, 24), (3, 9), (1, 5)])
def test_sinusoids_are_as_alike_as_their_angles(rows: int, columns: int):
    maps, shown_rows, shown_columns = similarity(sinusoids(rows, columns), max_cells=10_000)
    assert maps.shape == (rows, columns, rows, columns)
    assert (shown_rows, shown_columns) == (list(range(rows)), list(range(columns)))
    r, c, h, w = torch.meshgrid(*(torch.arange(n) for n in maps.shape), indexing="ij")
    expected = (torch.cos(2 * math.pi * (r - h) / rows) + torch.cos(2 * math.pi * (c - w) / columns)) / 2
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=0)


def test_a_large_grid_shows_evenly_spread_maps_only():
    table = sinusoids(12, 5)
    maps, rows, columns = similarity(table, max_cells=36)
    assert (rows, columns) == ([2, 6, 10], [0, 1, 2, 3, 4])
    everything, _, _ = similarity(table, max_cells=10_000)
    torch.testing.assert_close(maps, everything[rows][:, columns])
    assert similarity(table, max_cells=1)[1:] == ([6], [2])


def test_the_class_token_has_no_place_in_the_grid():
    network = random_network()
    table = patch_table(network)
    assert table.shape == (3, 5, 24)
    assert table[0, 0].equal(network.pos_embed[0, 1])
    assert table[2, 4].equal(network.pos_embed[0, 15])
