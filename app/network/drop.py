"""Owns what training leaves out at random, branches and patches; does not know the network."""

import torch
from torch import Tensor, nn


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


class PatchDropout(nn.Module):
    """Training on a random subset of the patches (Liu et al., arXiv 2208.07220): cheaper steps, and a regulariser."""

    def __init__(self, rate: float = 0.0, prefix: int = 1) -> None:
        super().__init__()
        self.rate, self.prefix = rate, prefix

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, P + kept, D), the prefix tokens always kept; the identity in evaluation or at rate 0."""
        if self.rate == 0.0 or not self.training:
            return x
        prefix, patches = self.prefix, x.shape[1] - self.prefix
        kept = max(1, round(patches * (1 - self.rate)))
        order = torch.rand(x.shape[0], patches, device=x.device).argsort(dim=1)[:, :kept] + prefix
        chosen = x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.shape[2]))
        return torch.cat([x[:, :prefix], chosen], dim=1)
