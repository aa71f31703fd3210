"""Owns layers whose weights are left unset, for a checkpoint or `init_weights` fills them; does not draw."""

from torch import nn


class Linear(nn.Linear):
    """A Linear that draws no weights of its own: drawing twice costs seconds."""

    def reset_parameters(self) -> None:
        """Does nothing."""


class Conv2d(nn.Conv2d):
    """A Conv2d whose weights are left unset, as in `Linear`."""

    def reset_parameters(self) -> None:
        """Does nothing."""
