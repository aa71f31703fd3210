"""Owns the Vision Transformer network; does not know files, labels, devices or requests.

Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929. Parameter names are timm's.
What relatives of the paper's network have instead of a part of it is chosen where that part is built.
Shapes in comments: B batch, N tokens (P prefix tokens, then patches), D width.
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.network.block import Block, LayerScale
from app.network.drop import PatchDropout
from app.network.efficientnet import EfficientNetLite
from app.network.hybrid import Bottleneck, new_backbone
from app.network.lazy import Conv2d, Linear
from app.network.mlp import Mlp
from app.network.pooling import new_pool
from app.network.position import new_tables
from app.network.stem import ConvStem
from app.package.variants import ViTConfig


class PatchEmbed(nn.Module):
    """Cuts the image into patches and projects each to a token (paper eq. 1)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.img_size = config.img_size
        self.in_chans = config.in_chans
        self.stem = ConvStem(config.in_chans, config.stem_widths) if config.stem_widths else nn.Identity()
        channels, size = (config.stem_widths[-1], 1) if config.stem_widths else (config.in_chans, config.patch_size)
        self.backbone: nn.Module = nn.Identity()
        if config.backbone_layers is not None:
            self.backbone = backbone = new_backbone(config)
            channels = backbone.out_chans
        if config.lite_stages:
            self.backbone = lite = EfficientNetLite(config.in_chans, config.lite_stages)
            channels = lite.out_chans
        self.proj = Conv2d(channels, config.embed_dim, kernel_size=size, stride=size, bias=not config.pre_norm)
        self.input_shift: Tensor | None
        self.register_buffer("input_shift", None, persistent=False)  # (1, C, 1, 1), set by `fold_normalisation`

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, N-P, D), patches in row-major order.

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
        tokens: Tensor = self.proj(self.backbone(self.stem(x))).flatten(2).transpose(1, 2)
        return tokens


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


_PREFIX: Final[dict[str, Callable[[ViTConfig], int]]] = {
    "cls_token": lambda config: int(config.class_token),
    "dist_token": lambda config: int(config.distilled),
    "reg_token": lambda config: config.reg_tokens,  # Darcet et al., arXiv 2309.16588
}


class VisionTransformer(nn.Module):
    """Patches, prefix tokens and position embedding, encoder, a head on the class token or what stands in its place."""

    cls_token: Tensor  # as the next two (1, tokens, D), and absent, None, from a network without
    dist_token: Tensor | None
    reg_token: Tensor | None

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embed_dim
        self.patch_embed = PatchEmbed(config)
        for name, tokens in _PREFIX.items():  # in this order; None where there are none
            rows = tokens(config)
            self.register_parameter(name, nn.Parameter(torch.zeros(1, rows, width)) if rows else None)
        self.pos_embed = new_tables(config)
        self.pos_drop = nn.Dropout(config.drop_rate)
        self.patch_drop = PatchDropout(config.patch_drop_rate, config.num_prefix_tokens)
        self.norm_pre = _norm(config, config.pre_norm)
        # Linear decay rule: block i of L drops its branches with rate · i / (L - 1).
        last = max(config.depth - 1, 1)
        self.blocks = nn.Sequential(*[Block(config, config.drop_path_rate * i / last) for i in range(config.depth)])
        self.norm = _norm(config, config.final_norm and not config.norms_pooled)
        self.attn_pool = new_pool(config)
        self.fc_norm = _norm(config, config.final_norm and config.norms_pooled)
        size = config.representation_size
        self.pre_logits = PreLogits(width, size) if size else nn.Identity()
        self.head = Linear(size or config.pooled_width, config.num_classes)
        self.head_dist = Linear(width, config.num_classes) if config.distilled else None

    def init_weights(self) -> None:
        """Draws the tutorial's initial weights: truncated normals, Kaiming for convolutions.

        As in the original hybrids, a residual unit begins as its shortcut alone; where prefix tokens begin with a
        maximum, so does the encoder.
        """
        for name, parameter in self.named_parameters():
            if name.startswith(("pos_embed", *_PREFIX)) or ".relative." in name or name.endswith(".latent"):
                nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm2d):
                nn.init.ones_(module.weight)
            elif isinstance(module, LayerScale):
                nn.init.constant_(module.gamma, self.config.init_values or 1.0)
                continue
            else:
                continue
            if module.bias is not None:  # qkv_bias may be False
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.norm3.weight)
        if isinstance(self.patch_embed.stem, ConvStem):
            self.patch_embed.stem.init_weights()
        if self.config.begins_with_maximum:
            for block in self.blocks:
                assert isinstance(block, Block)
                nn.init.zeros_(block.attn.proj.weight)
                assert isinstance(block.mlp, Mlp)
                nn.init.zeros_(block.mlp.fc2.weight)

    @property
    def has_dead_head(self) -> bool:
        """Whether every head is all zeros, so that all classes score the same for any image."""
        heads = [self.head] if self.head_dist is None else [self.head, self.head_dist]
        return not any(bool(head.weight.any()) for head in heads)

    def prefix_tokens(self) -> list[Tensor]:
        """Each (1, tokens, D): what stands before the patches, in order."""
        return [tokens for name in _PREFIX if (tokens := getattr(self, name)) is not None]

    def position_tables(self) -> Tensor | None:
        """(T, N, D), with zero rows for tokens that have no position; None if there is nothing to add."""
        if self.pos_embed is None:
            return None
        tables = self.pos_embed if isinstance(self.pos_embed, nn.Parameter) else self.pos_embed()
        missing = self.config.num_prefix_tokens - self.config.num_prefix_rows
        return F.pad(tables, (0, 0, missing, 0)) if missing else tables

    def add_position(self, x: Tensor, layer: int) -> Tensor:
        """(B, N, D) → the same, plus what this network adds to the input of `layer`."""
        if layer and not self.config.position.endswith(("every_layer", "shared")):
            return x
        tables = self.position_tables()
        return x if tables is None else x + tables[layer % len(tables)]

    def embed(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, N, D): tokens as they enter the encoder.

        After a convolutional stem or an EfficientNet prefix tokens begin with the maximum over the patches, so that the
        heads learn from the first step and the encoder adds to it.
        """
        patches = self.patch_embed(x)
        tokens = self.prefix_tokens()
        if self.config.begins_with_maximum:
            strongest = patches.amax(dim=1, keepdim=True)
            tokens = [token + strongest for token in tokens]
        x = torch.cat([*(token.expand(x.shape[0], -1, -1) for token in tokens), patches], dim=1)
        out: Tensor = self.norm_pre(self.patch_drop(self.pos_drop(self.add_position(x, 0))))
        return out

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, height, width) → (B, N, D): all tokens after the final LayerNorm."""
        x = self.embed(x)
        for layer, block in enumerate(self.blocks):
            x = block(self.add_position(x, layer) if layer else x)
        out: Tensor = self.norm(x)
        return out

    def forward_head(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B, N, D) → (B, classes): logits read off the class token, or what stands in its place.

        A distilled network gives the mean of its two heads' logits, in training the pair (class, distillation).
        """
        logits: Tensor = self.head(self.pre_logits(self.fc_norm(self.attn_pool(x))))
        if self.head_dist is None:
            return logits
        distilled: Tensor = self.head_dist(x[:, 1])
        return (logits, distilled) if self.training else (logits + distilled) / 2

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B, C, height, width), normalised → (B, classes), logits, or in training of a distilled network the pair.

        The same as `forward_head(forward_features(x))`; but where the heads read the prefix alone, the last block
        computes only that, which saves 7 % of ViT-B/16 and 14 % of a 6-layer network. With `mirror`, in evaluation,
        the mean of the logits of the images and of their mirror images.
        """
        if self.config.mirror and not self.training:
            logits = self._logits(torch.cat([x, x.flip(3)]))
            assert isinstance(logits, Tensor)
            first, second = logits.chunk(2)
            return (first + second) / 2
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.embed(x)
        *blocks, last = self.blocks
        assert isinstance(last, Block)
        for layer, block in enumerate(blocks):
            x = block(self.add_position(x, layer) if layer else x)
        x = self.add_position(x, len(blocks)) if blocks else x
        x = last.first_tokens(x, self.config.num_prefix_tokens) if self.attn_pool.reads_prefix else last(x)
        return self.forward_head(self.norm(x))


def _norm(config: ViTConfig, there: bool) -> nn.Module:
    return nn.LayerNorm(config.embed_dim, eps=config.norm_eps) if there else nn.Identity()
