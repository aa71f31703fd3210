"""Owns what follows attention in an encoder layer, plain and gated; does not know what stands around it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.network.lazy import Linear
from app.package.variants import ViTConfig


class QuickGELU(nn.Module):
    """x · σ(1.702 x), with which OpenAI's CLIP was trained (Hendrycks and Gimpel, arXiv 1606.08415)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same."""
        return x * torch.sigmoid(1.702 * x)


class Mlp(nn.Module):
    """Linear, GELU, Linear with dropout after both (paper appendix B.1)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.fc1 = Linear(config.embed_dim, config.mlp_width, bias=config.proj_bias)
        self.act = new_activation(config)
        self.fc2 = Linear(config.mlp_width, config.embed_dim, bias=config.proj_bias)
        self.drop = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        out: Tensor = self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))
        return out


class SwiGLU(nn.Module):
    """SiLU of one projection times another, then back (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.fc1_g = Linear(config.embed_dim, config.mlp_width, bias=config.proj_bias)
        self.fc1_x = Linear(config.embed_dim, config.mlp_width, bias=config.proj_bias)
        self.fc2 = Linear(config.mlp_width, config.embed_dim, bias=config.proj_bias)
        self.drop = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        out: Tensor = self.drop(self.fc2(self.drop(F.silu(self.fc1_g(x)) * self.fc1_x(x))))
        return out


class PackedSwiGLU(nn.Module):
    """The same with both projections in one, the gate first (DINOv2's g/14); `mlp_width` counts both."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.fc1 = Linear(config.embed_dim, config.mlp_width, bias=config.proj_bias)
        self.fc2 = Linear(config.mlp_width // 2, config.embed_dim, bias=config.proj_bias)
        self.drop = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        gate, value = self.fc1(x).chunk(2, dim=-1)
        out: Tensor = self.drop(self.fc2(self.drop(F.silu(gate) * value)))
        return out


def new_activation(config: ViTConfig) -> nn.Module:
    """The GELU of this kind."""
    if config.gelu == "quick":
        return QuickGELU()
    return nn.GELU(approximate="tanh" if config.gelu == "tanh" else "none")


def new_mlp(config: ViTConfig) -> nn.Module:
    """The kind that the shape names."""
    kinds: dict[str, type[nn.Module]] = {"mlp": Mlp, "swiglu": SwiGLU, "swiglu_packed": PackedSwiGLU}
    return kinds[config.mlp_layer](config)
