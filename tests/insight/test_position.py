"""Owns the tests of insight/position.py."""

import math
from dataclasses import replace

import pytest
import torch

from app.insight.position import patch_table, similarity
from app.package.variants import Position
from tests.insight.networks import SMALL, random_network


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


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("no_embed_class", [False, True])
def test_prefix_tokens_have_no_place_in_the_grid(distilled: bool, no_embed_class: bool):
    network = random_network(replace(SMALL, distilled=distilled, no_embed_class=no_embed_class))
    table, tables = patch_table(network), network.position_tables()
    assert table is not None
    assert tables is not None
    assert table.shape == (3, 5, 24)
    assert table[0, 0].equal(tables[0, 2 if distilled else 1])
    assert table[2, 4].equal(tables[0, -1])


def test_the_first_of_several_tables_is_taken():
    network = random_network(replace(SMALL, position="1d_every_layer"))
    tables, table = network.position_tables(), patch_table(network)
    assert tables is not None
    assert table is not None
    assert table.flatten(0, 1).equal(tables[0, 1:])


def test_axes_are_put_together():
    table = patch_table(random_network(replace(SMALL, position="2d")))
    assert table is not None
    assert table[0, 1, :12].equal(table[2, 1, :12])  # the same column
    assert table[2, 0, 12:].equal(table[2, 4, 12:])  # the same row


@pytest.mark.parametrize("position", ["none", "relative"])
def test_there_may_be_no_table(position: Position):
    assert patch_table(random_network(replace(SMALL, position=position))) is None
