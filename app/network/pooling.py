"""Owns how one vector for the head is made of all tokens; does not know the head.

Shapes in comments: B batch, N tokens (prefix tokens, then patches), D width, H heads.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.network.lazy import Linear
from app.network.mlp import Mlp
from app.package.variants import ViTConfig


class ClassToken(nn.Module):
    """The first token (paper eq. 4)."""

    reads_prefix = True  # the last layer need compute no other tokens

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, D)."""
        return x[:, 0]


class Average(nn.Module):
    """The mean over the tokens after the first `skipped` ones."""

    reads_prefix = False

    def __init__(self, skipped: int) -> None:
        super().__init__()
        self.skipped = skipped

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, D)."""
        return x[:, self.skipped :].mean(dim=1)


class ClassTokenAndAverage(Average):
    """The class token, then the patches' mean: DINOv2's linear evaluation (Oquab et al., arXiv 2304.07193, §7)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, 2·D)."""
        return torch.cat([x[:, 0], super().forward(x)], dim=1)


class AttentionPool(nn.Module):
    """A learned query attends to the tokens after the first `skipped` ones, an MLP refines what it finds (SigLIP).

    Zhai et al., arXiv 2106.04560, "multihead attention pooling". Names are timm's.
    """

    reads_prefix = False

    def __init__(self, config: ViTConfig, skipped: int) -> None:
        super().__init__()
        width = config.embed_dim
        self.num_heads, self.skipped = config.num_heads, skipped
        self.latent = nn.Parameter(torch.zeros(1, 1, width))
        self.q = Linear(width, width)
        self.kv = Linear(width, 2 * width)
        self.proj = Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.mlp = Mlp(replace(config, proj_bias=True, mlp_layer="mlp"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, D)."""
        batch, _, width = x.shape
        q = self.q(self.latent.expand(batch, -1, -1)).reshape(batch, 1, self.num_heads, -1).transpose(1, 2)
        kv = self.kv(x[:, self.skipped :]).reshape(batch, -1, 2, self.num_heads, width // self.num_heads)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        found = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        out: Tensor = found + self.mlp(self.norm(found))
        return out[:, 0]


Pool = ClassToken | Average | AttentionPool


def new_pool(config: ViTConfig) -> Pool:
    """The kind that the shape names."""
    skipped = 0 if config.pool_include_prefix else config.num_prefix_tokens
    if config.global_pool == "token":
        return ClassToken()
    if config.global_pool == "avg":
        return Average(skipped)
    if config.global_pool == "token_avg":
        return ClassTokenAndAverage(skipped)
    return AttentionPool(config, skipped)
