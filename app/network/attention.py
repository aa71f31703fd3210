"""Owns multi-head self-attention (paper appendix A); does not know what stands around it.

Shapes in comments: B batch, N tokens, D width, H heads, d = D / H.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from app.network.lazy import Linear
from app.network.position import RelativePosition
from app.package.variants import ViTConfig


class Attention(nn.Module):
    """Multi-head self-attention with one fused qkv projection."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.attn_drop_rate = config.attn_drop_rate
        self.qkv = Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.q_norm, self.k_norm = new_head_norm(config), new_head_norm(config)
        self.proj = Linear(config.embed_dim, config.embed_dim, bias=config.proj_bias)
        self.proj_drop = nn.Dropout(config.drop_rate)
        width = config.embed_dim // config.num_heads
        self.relative = RelativePosition(config.num_tokens, width) if config.position == "relative" else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        return self._attend(*qkv.permute(2, 0, 3, 1, 4).unbind(0))

    def first_tokens(self, x: Tensor, count: int) -> Tensor:
        """(B, N, D) → (B, count, D): what `forward` gives for the first tokens, without computing the other rows."""
        batch, tokens, width = x.shape
        weights = self.qkv.weight.split([width, 2 * width])
        biases = (None, None) if self.qkv.bias is None else self.qkv.bias.split([width, 2 * width])
        q = F.linear(x[:, :count], weights[0], biases[0]).reshape(batch, count, self.num_heads, -1).transpose(1, 2)
        kv = F.linear(x, weights[1], biases[1]).reshape(batch, tokens, 2, self.num_heads, -1)
        return self._attend(q, *kv.permute(2, 0, 3, 1, 4).unbind(0))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, H, M, d), (B, H, N, d), (B, H, N, d) → (B, M, D)."""
        dropout_p = self.attn_drop_rate if self.training else 0.0
        q, k = self.q_norm(q), self.k_norm(k)
        bias = None if self.relative is None else self.relative(q)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout_p)  # scale d ** -0.5
        out: Tensor = self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))
        return out


def new_head_norm(config: ViTConfig) -> nn.Module:
    """What queries and keys of one head, (…, d), pass through (Dehghani et al., arXiv 2302.05442)."""
    width = config.embed_dim // config.num_heads
    return nn.LayerNorm(width, eps=config.norm_eps) if config.qk_norm else nn.Identity()
