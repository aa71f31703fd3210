"""Owns which epoch's weights are kept, and when no better one is expected; does not train or evaluate."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class BestEpoch:
    """The epoch of the lowest validation loss and its weights, where `patience` is above 0; else nothing is kept."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epoch = 0
        self.loss = math.inf
        self.weights: dict[str, Tensor] = {}

    def note(self, epoch: int, loss: float, network: nn.Module) -> None:
        """Takes a copy of the weights, in the computer's own memory, if none before were as good."""
        if self.patience and loss < self.loss:
            self.epoch, self.loss = epoch, loss
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}

    def is_over(self, epoch: int) -> bool:
        """Whether the last `patience` epochs up to this one brought nothing better."""
        return self.patience > 0 and epoch - self.epoch >= self.patience

    def restore(self, network: nn.Module) -> None:
        """Puts the best weights into the network, if there are any."""
        if self.weights:
            network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold of it."""
        return {"epoch": self.epoch, "loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""
        self.epoch, self.loss, self.weights = state["epoch"], state["loss"], state["weights"]
