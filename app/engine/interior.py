"""Owns the seam to what a model tells beside its scores: features and attention; does not compute any."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain import ExplainingMethod
from app.engine.client import Runner
from app.graphs.folder import Pixels


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen of a model's attention: over which grid of patches (rows, columns), in how many layers.

    The pool of a network that attends once more for its head counts as its last layer.
    """

    grid: tuple[int, int]
    layers: int
    heads: int
    methods: tuple[ExplainingMethod, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be seen of one image; `layer`: for "attention", `index`: the class for "gradient", None: the best."""

    method: ExplainingMethod
    layer: int = 0
    index: int | None = None


Looks = Sequence[Look | None]  # by slot


class Interior(Protocol):
    """Of one model in one engine. The first two take a moment and no memory, and raise NotSupported.

    Runners have no say in who comes first: their threads take the lowest priority, and each computes on one core. What
    they need is made when they are warmed up.
    """

    def width(self) -> int:
        """Numbers in an embedding."""
        ...

    def sight(self) -> Sight:
        """What can be seen of the attention."""
        ...

    def embedders(self, pixels: Pixels) -> list[Runner]:
        """One a lane; they give the embedding of each slot."""
        ...

    def explainers(self, pixels: Pixels, looks: Looks) -> list[Runner]:
        """One a lane; they give each slot's logits, then what its look says: a grid, for "attention" one a head."""
        ...
