"""Owns the position embeddings of the paper's ablation (appendix D.4); does not resize them.

What `ViTConfig.position` may be, in two lines each; N tokens (prefix tokens and patches), D width, d = D / heads:

none            No table: the class token sees a bag of patches.
                They may be permuted without changing its logits.
1d              One learned vector for each token in row-major order, added once, before the encoder.
                The paper's default, and what every public checkpoint has.
2d              One table of width D / 2 for the columns, one for the rows; a patch gets [column, row].
                Folds to a 1-D table. The paper leaves the class token open: it has a learned vector of its own.
relative        Every layer adds q · e[p_q - p_k] to q · k, with one learned vector of width d for each offset.
                Open in the paper: heads share a table, layers do not; 1/√d scales the sum; prefix tokens come first.
*_every_layer   A table of its own for each layer, added to the layer's input.
                The first layer's is the one before the encoder.
*_shared        One table, added to the input of every layer.
                As many parameters as the plain kind.

Tables are (T, N, D) with T = depth for `*_every_layer` and T = 1 otherwise.
"""

import torch
from torch import Tensor, nn

from app.package.variants import ViTConfig


class AxisTables(nn.Module):
    """The tables of a 2-D embedding: `columns` (T, grid width, D / 2), `rows` (T, grid height, D / 2), `prefix`."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        height, width = config.grid_size
        self.columns = nn.Parameter(torch.zeros(config.num_tables, width, config.embed_dim // 2))
        self.rows = nn.Parameter(torch.zeros(config.num_tables, height, config.embed_dim // 2))
        self.prefix = nn.Parameter(torch.zeros(config.num_tables, config.num_prefix_rows, config.embed_dim))

    def forward(self) -> Tensor:
        """→ (T, prefix rows + patches, D): the 1-D tables that say the same."""
        height, width = self.rows.shape[1], self.columns.shape[1]
        columns = self.columns.unsqueeze(1).expand(-1, height, -1, -1)
        rows = self.rows.unsqueeze(2).expand(-1, -1, width, -1)
        return torch.cat([self.prefix, torch.cat([columns, rows], dim=3).flatten(1, 2)], dim=1)


class RelativePosition(nn.Module):
    """What one layer of a `relative` network adds to its attention scores."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens = tokens
        # Row N - 1 + o is for offset o = p_q - p_k. Three dimensions, for optimisers take two for a hidden matrix.
        self.table = nn.Parameter(torch.zeros(1, 2 * tokens - 1, width))

    def forward(self, q: Tensor) -> Tensor:
        """Queries (B, H, M, d) of the tokens 0 … M - 1 → (B, H, M, N), scaled by 1/√d."""
        scores = q @ self.table[0].T * q.shape[3] ** -0.5
        positions = torch.arange(self.tokens, device=q.device)
        offsets = positions[: q.shape[2], None] - positions + self.tokens - 1
        bias: Tensor = scores.gather(3, offsets.expand(*q.shape[:2], -1, -1))
        return bias


def new_tables(config: ViTConfig) -> nn.Parameter | AxisTables | None:
    """The tables, all zero, that stand in the network under timm's name `pos_embed`; None if the kind has none."""
    if config.position in ("none", "relative"):
        return None
    if config.position.startswith("2d"):
        return AxisTables(config)
    rows = config.num_prefix_rows + config.grid_size[0] * config.grid_size[1]
    return nn.Parameter(torch.zeros(config.num_tables, rows, config.embed_dim))
