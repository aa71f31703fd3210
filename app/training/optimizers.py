"""Owns the optimisers and the course of the learning rate; does not compute gradients."""

import math
from functools import partial
from typing import Any

import torch
from torch import nn

from app.network.vit import VisionTransformer
from app.training.recipe import Recipe


class Optimizers:
    """Muon (Jordan et al. 2024) for hidden matrices; AdamW for embeddings, norms, biases and the head.

    The filters of a convolutional stem are matrices too, with a rate of their own. The normalisation behind them
    makes their length meaningless, so it is held: a step then always turns them by the same share.
    """

    def __init__(self, network: VisionTransformer, recipe: Recipe) -> None:
        learning = [p for p in network.parameters() if p.requires_grad]
        hidden = {p for p in network.blocks.parameters() if p.ndim == 2}
        filters = {p for p in network.patch_embed.stem.parameters() if p.ndim == 4}
        if network.config.begins_with_maximum:  # what follows a stem is a hidden layer too
            hidden |= {p for p in network.patch_embed.proj.parameters() if p.ndim > 1}
        either = hidden | filters
        # As matrices (outputs, inputs), which share the memory of the parameters.
        self._matrices = {p: nn.Parameter(p.detach().flatten(1)) for p in learning if p in either}
        self._filters = [matrix for p, matrix in self._matrices.items() if p in filters]
        blocks = [matrix for p, matrix in self._matrices.items() if p in hidden]
        rate = recipe.learning_rate
        backbone = {p for p in network.patch_embed.backbone.parameters() if network.config.lite_stages}
        rest = [p for p in learning if p not in self._matrices]
        groups = [
            {
                "params": [p for p in rest if (p.ndim >= 2) == decays and (p in backbone) == before],
                "lr": rate * (recipe.backbone_rate if before else 1.0),
                "weight_decay": recipe.weight_decay if decays else 0.0,
            }
            for before in (False, True)[: 1 + bool(backbone)]
            for decays in (True, False)
        ]
        self.each: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))]
        muon = partial(torch.optim.Muon, momentum=recipe.momentum)
        if blocks:
            self.each.append(muon(blocks, lr=rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"))
        if self._filters:
            self.each.append(muon(self._filters, lr=recipe.stem_learning_rate, weight_decay=0.0))
        self._peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.each]

    @property
    def learning_rate(self) -> float:
        """Of the last step, where it is not the stem's."""
        rate: float = self.each[0].param_groups[0]["lr"]
        return rate

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One step by the parameters' gradients, at this share of the peak learning rates."""
        for parameter, matrix in self._matrices.items():
            assert parameter.grad is not None
            matrix.grad = parameter.grad.flatten(1)
        for optimizer, peaks in zip(self.each, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimizer.step()
        for matrix in self._filters:
            matrix.mul_(math.sqrt(len(matrix)) / matrix.norm())

    def state_dict(self) -> list[dict[str, Any]]:
        """What `load_state_dict` takes."""
        return [optimizer.state_dict() for optimizer in self.each]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Goes on from there; raises ValueError or LookupError if it is of other parameters."""
        for optimizer, state in zip(self.each, states, strict=True):
            optimizer.load_state_dict(state)


def schedule(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate: linear warm-up, then a line down to zero (Bergsma et al., arXiv 2502.15938)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1 - (step - warmup) / max(total - warmup, 1)
