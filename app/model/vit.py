"""Owns the Vision Transformer network; does not know files, labels, devices or requests.

Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929. Parameter names are timm's.
Shapes in comments: B batch, N tokens (patches + class token), D width, H heads, d = D / H.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.model.stem import ConvStem
from app.model.variants import ViTConfig


class Linear(nn.Linear):
    """A Linear whose weights are left unset: `init_weights` or a checkpoint fills them; drawing twice costs seconds."""

    def reset_parameters(self) -> None:
        """Does nothing."""


class Conv2d(nn.Conv2d):
    """A Conv2d whose weights are left unset, as in `Linear`."""

    def reset_parameters(self) -> None:
        """Does nothing."""


class PatchEmbed(nn.Module):
    """Cuts the image into patches and projects each to a token (paper eq. 1)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.img_size = config.img_size
        self.in_chans = config.in_chans
        self.stem = ConvStem(config.in_chans, config.stem_widths) if config.stem_widths else nn.Identity()
        channels, size = (config.stem_widths[-1], 1) if config.stem_widths else (config.in_chans, config.patch_size)
        self.proj = Conv2d(channels, config.embed_dim, kernel_size=size, stride=size)
        self.input_shift: Tensor | None
        self.register_buffer("input_shift", None, persistent=False)  # (1, C, 1, 1), set by `fold_normalisation`

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, N-1, D), patches in row-major order.

        Raises ValueError, naming both sizes, if the input is not what the network was built for.
        """
        expected = (self.in_chans, *self.img_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != expected:
            raise ValueError(
                f"input of shape {tuple(x.shape)} does not fit: this network takes (batch, "
                f"{', '.join(map(str, expected))}) = (batch, channels, height, width)"
            )
        if self.input_shift is not None:
            x = x + self.input_shift
        tokens: Tensor = self.proj(self.stem(x)).flatten(2).transpose(1, 2)
        return tokens


class Attention(nn.Module):
    """Multi-head self-attention with one fused qkv projection (paper appendix A)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.attn_drop_rate = config.attn_drop_rate
        self.qkv = Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.proj = Linear(config.embed_dim, config.embed_dim)
        self.proj_drop = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        return self._attend(*qkv.permute(2, 0, 3, 1, 4).unbind(0))

    def first_token(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, 1, D): what `forward` gives for token 0, without computing the other rows."""
        batch, tokens, width = x.shape
        weights = self.qkv.weight.split([width, 2 * width])
        biases = (None, None) if self.qkv.bias is None else self.qkv.bias.split([width, 2 * width])
        q = F.linear(x[:, :1], weights[0], biases[0]).reshape(batch, 1, self.num_heads, -1).transpose(1, 2)
        kv = F.linear(x, weights[1], biases[1]).reshape(batch, tokens, 2, self.num_heads, -1)
        return self._attend(q, *kv.permute(2, 0, 3, 1, 4).unbind(0))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, H, M, d), (B, H, N, d), (B, H, N, d) → (B, M, D)."""
        dropout_p = self.attn_drop_rate if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p)  # scale d ** -0.5
        out: Tensor = self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))
        return out


class Mlp(nn.Module):
    """Linear, GELU, Linear with dropout after both (paper appendix B.1)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        hidden = int(config.embed_dim * config.mlp_ratio)
        self.fc1 = Linear(config.embed_dim, hidden)
        self.act = nn.GELU()
        self.fc2 = Linear(hidden, config.embed_dim)
        self.drop = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        out: Tensor = self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))
        return out


class DropPath(nn.Module):
    """Stochastic depth per sample (Huang et al., arXiv 1603.09382): drops a whole residual branch.

    What is kept is divided by the probability of keeping, so the expectation is unchanged.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any (B, …) → the same shape; the identity in evaluation or at rate 0."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        return x * x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(keep).div_(keep)


class Block(nn.Module):
    """One pre-norm encoder layer (paper eq. 2 and 3)."""

    def __init__(self, config: ViTConfig, drop_path_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=config.norm_eps)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=config.norm_eps)
        self.mlp = Mlp(config)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out

    def first_token(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, 1, D): what `forward` gives for token 0, for a fraction of the work."""
        x = x[:, :1] + self.drop_path(self.attn.first_token(self.norm1(x)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class PatchDropout(nn.Module):
    """Training on a random subset of the patches (Liu et al., arXiv 2208.07220): cheaper steps, and a regulariser."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, 1 + kept, D), the class token always kept; the identity in evaluation or at rate 0."""
        if self.rate == 0.0 or not self.training:
            return x
        patches = x.shape[1] - 1
        kept = max(1, round(patches * (1 - self.rate)))
        order = torch.rand(x.shape[0], patches, device=x.device).argsort(dim=1)[:, :kept] + 1
        chosen = x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.shape[2]))
        return torch.cat([x[:, :1], chosen], dim=1)


class PreLogits(nn.Module):
    """The hidden tanh layer of the pre-training head (paper §3.1)."""

    def __init__(self, width: int, representation_size: int) -> None:
        super().__init__()
        self.fc = Linear(width, representation_size)
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) → (B, representation_size)."""
        out: Tensor = self.act(self.fc(x))
        return out


class VisionTransformer(nn.Module):
    """Patches, class token and position embedding, encoder, head on the class token."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embed_dim
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.num_tokens, width))
        self.pos_drop = nn.Dropout(config.drop_rate)
        self.patch_drop = PatchDropout(config.patch_drop_rate)
        # Linear decay rule: block i of L drops its branches with rate · i / (L - 1).
        last = max(config.depth - 1, 1)
        self.blocks = nn.Sequential(*[Block(config, config.drop_path_rate * i / last) for i in range(config.depth)])
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        size = config.representation_size
        self.pre_logits = PreLogits(width, size) if size else nn.Identity()
        self.head = Linear(size or width, config.num_classes)

    def init_weights(self) -> None:
        """Draws the tutorial's initial weights: truncated normals, Kaiming for the patch projection."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
                nn.init.ones_(module.weight)
            else:
                continue
            if module.bias is not None:  # qkv_bias may be False
                nn.init.zeros_(module.bias)

    def embed(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, N, D): tokens as they enter the encoder."""
        patches = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), patches], dim=1) + self.pos_embed
        out: Tensor = self.patch_drop(self.pos_drop(x))
        return out

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, N, D): all tokens after the final LayerNorm."""
        out: Tensor = self.norm(self.blocks(self.embed(x)))
        return out

    def forward_head(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, classes): logits read off the class token."""
        out: Tensor = self.head(self.pre_logits(x[:, 0]))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, height, width), normalised → (B, classes), logits.

        The same as `forward_head(forward_features(x))`; but the head reads one token, so the last block
        computes only that one, which saves 7 % of ViT-B/16 and 14 % of a 6-layer network.
        """
        x = self.embed(x)
        *blocks, last = self.blocks
        assert isinstance(last, Block)
        for block in blocks:
            x = block(x)
        return self.forward_head(self.norm(last.first_token(x)))
