"""Owns how alike a network's position embeddings are; does not draw."""

import torch
from torch import Tensor

from app.network.vit import VisionTransformer


def patch_table(network: VisionTransformer) -> Tensor | None:
    """The embedding of each patch's position, (rows, columns, D), that is added before the first layer.

    A 2-D embedding is put together from its axes. None if nothing is added, as with relative positions.
    """
    rows, columns = network.config.grid_size
    tables = network.position_tables()
    return None if tables is None else tables[0, -rows * columns :].unflatten(0, (rows, columns))


def similarity(table: Tensor, max_cells: int) -> tuple[Tensor, list[int], list[int]]:
    """Cosine of the angle between position embeddings (paper Fig. 7, centre).

    (rows, columns, D) → (r, c, rows, columns) and the indices of the r rows and c columns that have a map of their own:
    all of them, or so many, evenly spread, that the maps together are about `max_cells` high and wide.
    """
    table = torch.nn.functional.normalize(table, dim=-1)
    rows, columns = (_spread(length, max_cells // length) for length in table.shape[:2])
    return torch.einsum("rcd,hwd->rchw", table[rows][:, columns], table), rows, columns


def _spread(length: int, count: int) -> list[int]:
    """`count` indices, at least one and evenly spread, of `length`."""
    count = min(max(count, 1), length)
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]
