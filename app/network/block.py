"""Owns one encoder layer (paper eq. 2 and 3); does not know how many there are."""

import torch
from torch import Tensor, nn

from app.network.attention import Attention
from app.network.drop import DropPath
from app.network.mlp import new_mlp
from app.package.variants import ViTConfig


class LayerScale(nn.Module):
    """Each channel of a branch times a learned factor, which begins small (Touvron et al., arXiv 2103.17239)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → the same."""
        return x * self.gamma


class Block(nn.Module):
    """One pre-norm encoder layer."""

    def __init__(self, config: ViTConfig, drop_path_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=config.norm_eps)
        self.attn = Attention(config)
        self.ls1 = _new_scale(config)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=config.norm_eps)
        self.mlp = new_mlp(config)
        self.ls2 = _new_scale(config)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        return self._feed_forward(x + self.drop_path(self.ls1(self.attn(self.norm1(x)))))

    def first_tokens(self, x: Tensor, count: int) -> Tensor:
        """(B, N, D) → (B, count, D): what `forward` gives for the first tokens, for a fraction of the work."""
        attended = self.attn.first_tokens(self.norm1(x), count)
        return self._feed_forward(x[:, :count] + self.drop_path(self.ls1(attended)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
        return out


def _new_scale(config: ViTConfig) -> nn.Module:
    return nn.Identity() if config.init_values is None else LayerScale(config.embed_dim)
