"""Owns the values that travel between layers; does not compute."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming", "area"]
CropMode = Literal["center", "squash", "border"]
Confidence = Literal["high", "low"]
Activation = Literal["softmax", "sigmoid", "none"]
Library = Literal["torchvision", "huggingface", "tensorflow"]
Engine = Literal["openvino", "torch", "noop"]
ExplainingMethod = Literal["rollout", "attention", "gradient"]


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """How an image becomes the network's input; fields and defaults are those of timm's `pretrained_cfg`.

    Sizes in pixels; `mean` and `std` on the 0 … 1 scale, one per channel. The last two fields say what timm's
    cannot: a size before the crop that is no share of it, and whose rounding of sizes and offsets holds.
    "tensorflow" is also its kernels: "bilinear" without antialiasing, and "area", which no other library has.
    """

    height: int = 224
    width: int = 224
    interpolation: Interpolation = "bicubic"
    crop_pct: float = 0.875  # the crop's share of the resized image
    crop_mode: CropMode = "center"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    resize_px: int | tuple[int, int] | None = None  # short side, or (height, width); None: from crop_pct and crop_mode
    library: Library = "torchvision"

    @property
    def channels(self) -> int:
        """Of the network's input: 3 for RGB, 1 for grey; of other numbers there are no pictures."""
        return len(self.mean)


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a network's logits become scores.

    "softmax": they share 1 between them; "sigmoid": each is 0 … 1 on its own; "none": the logits themselves, of a
    regression. Before the activation logits are divided by `temperature`, which was fitted on validation data.
    """

    activation: Activation = "softmax"
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class and its score: by softmax or sigmoid 0 … 1, without an activation any number."""

    label: str
    index: int
    score: float
    id: str | None = None  # WordNet's, where the labels are ImageNet's


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of one job went, in milliseconds; `total` also counts what lies between the stages."""

    decode_ms: float
    queue_ms: float
    inference_ms: float
    total_ms: float


class Timed(Protocol):
    """What every answer tells of how it came about."""

    @property
    def timing(self) -> Timing:
        """Where the time went."""
        ...

    @property
    def batch_size(self) -> int:
        """Images that were computed together."""
        ...

    @property
    def batch_id(self) -> int:
        """The same for all of them."""
        ...


@dataclass(frozen=True, slots=True)
class Classification:
    """The answer to one image: predictions in descending order, and how it came about."""

    model: str
    predictions: tuple[Prediction, ...]
    timing: Timing
    batch_size: int
    confidence: Confidence | None = None  # low: the best score is below the model's threshold; None: it has none
    notice: str | None = None  # set when the answer does not come from a trained model
    activation: Activation = "softmax"  # which made the scores
    batch_id: int = 0  # the same for all that were computed together


@dataclass(frozen=True, slots=True)
class Logits:
    """The answer to one image of those who make scores of their own: what the network said of each class, in order."""

    values: tuple[float, ...] = field(repr=False)
    timing: Timing
    batch_size: int
    batch_id: int = 0


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the head of the network reads of one image: its class token, or the mean of its tokens; float32 (width,)."""

    model: str
    values: "npt.NDArray[np.float32]" = field(repr=False)
    timing: Timing
    batch_size: int
    batch_id: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the network looked in one image: a weight for each patch, float32 (maps, rows, columns).

    There is one map, but for the attention of a layer, which has one a head. `seen`: the pixels that the network saw,
    uint8 (height, width, 3). `layer` and `index`, the class, where the method has them.
    """

    model: str
    method: ExplainingMethod
    maps: "npt.NDArray[np.float32]" = field(repr=False)
    seen: "npt.NDArray[np.uint8]" = field(repr=False)
    predictions: tuple[Prediction, ...]
    timing: Timing
    batch_size: int
    batch_id: int = 0
    activation: Activation = "softmax"
    layer: int | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What else the model that is served can be asked for; `width`: of an embedding, None: there are none."""

    width: int | None
    methods: tuple[ExplainingMethod, ...] = ()
    grid: tuple[int, int] | None = None  # rows, columns
    layers: int = 0
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to run a network that was considered; `images_per_s` and `why_not` as far as there is something to say."""

    engine: Engine
    precision: str
    lanes: int = 1
    images_per_s: float | None = None  # with all lanes busy
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is being served."""

    name: str
    variant: str
    parameters: int
    labels: tuple[str, ...] = field(repr=False)
    preprocess: PreprocessSpec
    sha256: str | None  # of the weights file; None for random weights and for noop
    device: str
    precision: str
    threshold: float | None = None  # answers with at least this score were right in 95 % of the cases on validation
    notice: str | None = None
    label_ids: tuple[str, ...] = field(default=(), repr=False)  # WordNet's, one a label, or none
    source: str | None = None  # hf-hub:owner/name@commit
    engine: Engine = "torch"
    lanes: int = 1  # batches at once
    max_batch_size: int = 1
    engine_reason: str | None = None  # why it is this one
    candidates: tuple[Candidate, ...] = ()  # what it was chosen from
    activation: Activation = "softmax"  # which makes the scores …
    temperature: float = 1.0  # … of logits that are divided by this before

    @property
    def scoring(self) -> Scoring:
        """How logits become scores."""
        return Scoring(self.activation, self.temperature)

    def predictions(self, scores: "Iterable[float]", indices: "Iterable[int]") -> tuple[Prediction, ...]:
        """Scores of classes with what these are called."""
        labels, ids = self.labels, self.label_ids
        found = zip(scores, indices, strict=True)
        return tuple(Prediction(labels[i], i, score, ids[i] if ids else None) for score, i in found)
