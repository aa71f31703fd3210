"""Owns what is asked of an engine and what comes of it; does not open any."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from app.domain import Candidate, Engine
from app.engine.client import Runner
from app.engine.interior import Interior
from app.graphs.folder import Pixels
from app.package.description import PackageDescription


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for; `cores` may be used, a `max_batch_size` of 0 leaves it open."""

    engine: Literal["auto", "openvino", "torch"]
    device: str
    precision: str
    cores: int
    max_batch_size: int
    cache_directory: Path

    def batch_size(self, *, on_gpu: bool) -> int:
        """Images in one forward pass at most."""
        return self.max_batch_size or (64 if on_gpu else 8)

    @property
    def strict(self) -> bool:
        """Whether answers must be those of float32; who names another number format gets it as it is."""
        return self.precision == "auto"

    @property
    def lanes(self) -> int:
        """Batches at once on a CPU, unless measured better."""
        return min(self.cores, 4)


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that is ready to run, but for the slots: `runners` makes one runner a lane on their pixels."""

    description: PackageDescription
    parameters: int
    engine: Engine
    device: str
    precision: str
    max_batch_size: int
    runners: Callable[[Pixels], list[Runner]] = field(repr=False)
    reason: str | None = None
    candidates: tuple[Candidate, ...] = ()
    interior: Interior | None = field(default=None, repr=False)
