"""Owns the answers as types; does not read them from HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from vit_client.errors import VitError

T = TypeVar("T")
Activation = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class. `score`: 0 … 1, any number where the activation is "none"; `id`: WordNet's, for ImageNet's labels."""

    label: str
    index: int
    score: float
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the server's time went, in milliseconds; `total_ms` also counts what lies between the stages."""

    decode_ms: float
    queue_ms: float
    inference_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Classification:
    """The answer to one image: `predictions` in descending order of score, and how it came about.

    `confidence`: low below the model's threshold, None where it has none. `notice`: set where the model is not a
    trained one. `batch_size`: images that shared the forward pass.
    """

    model: str
    predictions: tuple[Prediction, ...]
    timing: Timing
    batch_size: int
    request_id: str
    activation: Activation = "softmax"
    confidence: Literal["high", "low"] | None = None
    notice: str | None = None

    @property
    def best(self) -> Prediction:
        """The most likely class."""
        return self.predictions[0]


@dataclass(frozen=True, slots=True)
class Model:
    """What is being served. `document` is all that the server says of it, also what this version has no field for."""

    name: str
    labels: tuple[str, ...] = field(repr=False)
    variant: str
    parameters: int
    engine: str
    device: str
    precision: str
    activation: Activation = "softmax"
    threshold: float | None = None
    label_ids: tuple[str, ...] = field(default=(), repr=False)
    notice: str | None = None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of one image of many: `image` as it was given, the `index`-th, and its answer or its error."""

    index: int
    image: T
    result: Classification | VitError

    def unwrap(self) -> Classification:
        """The answer. Raises the error where there is none."""
        if isinstance(self.result, VitError):
            raise self.result
        return self.result


@dataclass(frozen=True, slots=True)
class Progress:
    """How far many images are. `total` is None where the iterable has no length."""

    done: int
    failed: int
    total: int | None
    elapsed_s: float

    @property
    def images_per_s(self) -> float:
        """Since the start."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0
