"""Owns the optimisers and the course of the learning rate; does not compute gradients."""

import math

import torch
from torch import nn

from app.model.vit import VisionTransformer
from app.training.recipe import Recipe


def hidden_matrices(network: VisionTransformer) -> dict[nn.Parameter, nn.Parameter]:
    """Parameters of hidden layers as matrices (outputs, inputs), which share their memory; convolutions flattened."""
    hidden = [p for p in network.blocks.parameters() if p.ndim == 2]
    hidden += [p for p in network.patch_embed.stem.parameters() if p.ndim == 4]
    return {p: nn.Parameter(p.detach().flatten(1)) for p in hidden if p.requires_grad}


def new_optimizers(
    network: VisionTransformer, matrices: dict[nn.Parameter, nn.Parameter], recipe: Recipe
) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for hidden matrices; AdamW for embeddings, norms, biases and the head."""
    rest = [p for p in network.parameters() if p.requires_grad and p not in matrices]
    plain = [p for p in rest if p.ndim < 2]
    decayed = [p for p in rest if p.ndim >= 2]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        muon = torch.optim.Muon(
            list(matrices.values()),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        optimizers.append(muon)
    adamw = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    return [*optimizers, adamw]


def schedule(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine down to zero."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
