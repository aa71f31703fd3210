"""Owns how a network is drawn in which nothing is as a constructor left it; does not test."""

import torch
from torch import nn


@torch.no_grad()
def unsettle(network: nn.Module) -> None:
    """Changes every parameter and every statistic, so that each matters."""
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.add_(torch.randn_like(tensor) * 0.05)
