"""Owns the engine's seams: what callers, runners and observers agree on; does not run anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from app.domain import Confidence
from app.scheduling.job import Job


class Status(Enum):
    """Life of an engine, in this order; FAILED can follow any."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """`stall_timeout_s`: a batch that runs longer than this means that the device is wedged.

    `warm_up_timeout_s`: the same of a warm-up. `drain_timeout_s`: how long closing waits for what was accepted, where
    no instant is named.
    """

    stall_timeout_s: float = 60.0
    drain_timeout_s: float = 20.0
    warm_up_timeout_s: float = 300.0


class Scores(NamedTuple):
    """Best classes of one image, descending: scores and class indices, equally long.

    Where the logits of all classes were asked for, these, in the order of the classes, and no indices; so also any
    other numbers that a runner is for.
    """

    scores: list[float] | npt.NDArray[np.float32]
    indices: list[int]


class Outcome(NamedTuple):
    """What the engine says of one finished job; durations in seconds."""

    scores: Scores
    queue_s: float
    inference_s: float
    batch_size: int
    batch_id: int  # all of one batch have the same, and of this engine no others


class OutOfDeviceMemory(Exception):
    """A runner had no memory for this batch; a smaller one may fit."""


class Runner(Protocol):
    """Executes batches on one lane of the device; all calls come from one thread."""

    max_batch_size: int

    def warm_up(self) -> None:
        """Runs every batch size that will be used once."""
        ...

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        """The best classes of the pixels in each slot, in order; of each as many as `top_ks` says, 0: all logits.

        `alone`: no other lane is busy, so this one may use the whole device. Raises OutOfDeviceMemory.
        """
        ...


class Observer(Protocol):
    """Is told what happens, from any thread; must be quick and must not raise."""

    def stage(self, name: str, seconds: float) -> None:
        """One job or request spent `seconds` in a stage: read, decode, queue, inference or respond."""
        ...

    def batch(self, size: int, seconds: float) -> None:
        """A batch of `size` images ran."""
        ...

    def split(self, out_of_memory: bool) -> None:
        """A batch failed, and its halves are tried."""
        ...

    def job(self, outcome: str) -> None:
        """A job ended: result, error or cancelled."""
        ...

    def answer(self, confidence: Confidence) -> None:
        """A model with a threshold was high or low in confidence."""
        ...


class NullObserver:
    """The observer of those who do not observe."""

    def stage(self, name: str, seconds: float) -> None:
        """Ignores it."""

    def batch(self, size: int, seconds: float) -> None:
        """Ignores it."""

    def split(self, out_of_memory: bool) -> None:
        """Ignores it."""

    def job(self, outcome: str) -> None:
        """Ignores it."""

    def answer(self, confidence: Confidence) -> None:
        """Ignores it."""


class EngineClient(Protocol):
    """A device somewhere: in this process now, behind shared memory later."""

    async def submit(self, job: Job) -> Outcome:
        """Runs the job. From here on the engine holds its slot. Raises Overloaded, Draining, InferenceFailed,
        DeadlineExceeded."""
        ...

    @property
    def queue_depth(self) -> int:
        """Jobs waiting for a lane."""
        ...

    @property
    def seconds_per_image(self) -> float:
        """Measured time between two answers when busy; 0 while unknown."""
        ...

    def status(self) -> Status:
        """Where the engine is in its life; FAILED also while a batch is stuck on the device."""
        ...

    async def ready(self) -> None:
        """Returns once warmed up. Raises what the warm-up raised."""
        ...

    async def aclose(self, until: float | None = None) -> None:
        """Finishes what was submitted, then stops; at the latest at that monotonic instant."""
        ...
