"""Owns the shapes of requests and answers as the OpenAPI page shows them; does not build answers."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain import Activation

PREDICTIONS: Final[list[Any]] = [
    {"label": "cat", "index": 3, "score": 0.93},
    {"label": "dog", "index": 5, "score": 0.04},
    {"label": "frog", "index": 6, "score": 0.01},
]
TIMING: Final[dict[str, Any]] = {"decode": 1.7, "queue": 0.1, "inference": 4.2, "total": 6.3}
RESULT: Final[dict[str, Any]] = {
    "model": "vit_nano_lite0_s32_128.cifar10",
    "activation": "softmax",
    "predictions": PREDICTIONS,
    "timing_ms": TIMING,
    "batch_size": 1,
    "confidence": "high",
}
UNSURE: Final = {**RESULT, "predictions": [{"label": "frog", "index": 6, "score": 0.41}], "confidence": "low"}
_ACTIVATION: Final = (
    "What makes scores of the model's logits, the same in all its answers. softmax: one class excludes the others, and "
    "the scores of all classes add up to 1; sigmoid: each class has a score of 0 … 1 on its own; none: a regression, "
    "whose scores are the model's numbers themselves."
)
ID: Final = "5b1d9d2f0f3c4a51b7d1f1c0a7f7f0f3"


class PredictionOut(BaseModel):
    """One class."""

    label: str
    id: str | None = Field(None, description="WordNet's id of the class, present where the labels are ImageNet's.")
    index: int = Field(ge=0, description="The class's row in the model's head.")
    score: float = Field(description="0 … 1, but any number where the answer's `activation` is none.")


class TimingOut(BaseModel):
    """Where the time went, in milliseconds."""

    decode: float = Field(description="From admission to pixels of the model's input size.")
    queue: float = Field(description="Waiting for the device.")
    inference: float = Field(description="The forward pass of the whole batch.")
    total: float = Field(description="From admission to the answer.")


class ResultOut(BaseModel):
    """The answer to one image."""

    model: str
    activation: Activation = Field(description=_ACTIVATION)
    predictions: list[PredictionOut] = Field(description="In descending order of score.")
    timing_ms: TimingOut
    batch_size: int = Field(ge=1, description="Images that shared the forward pass.")
    confidence: Literal["high", "low"] | None = Field(
        None,
        description="low: the best score is below the model's threshold, above which 95 % of the answers to its "
        "validation images were right; the picture may show none of its classes. Absent where the model has none.",
    )
    notice: str | None = Field(None, description="Present when the model is not a trained one.")


class ClassifyOut(ResultOut):
    """The answer to a request with one image."""

    model_config = ConfigDict(json_schema_extra={"example": {**RESULT, "request_id": ID}})

    request_id: str


class ItemErrorOut(BaseModel):
    """Why one image of several failed."""

    error: str
    code: str


class ClassifyManyOut(BaseModel):
    """The answer to a request with several images, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "results": [RESULT, UNSURE, {"error": "the image is empty: no bytes were sent", "code": "empty_body"}],
                "request_id": ID,
            }
        }
    )

    results: list[ResultOut | ItemErrorOut]
    request_id: str


class ErrorOut(ItemErrorOut):
    """Every error answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"error": "the JPEG image cannot be decoded", "code": "corrupt_image", "request_id": ID}
        }
    )

    request_id: str


class PreprocessOut(BaseModel):
    """How an image becomes the model's input; names are timm's."""

    height: int
    width: int
    interpolation: str
    crop_pct: float
    crop_mode: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_px: int | tuple[int, int] | None = Field(
        None, description="Short side, or height and width, before the crop, where `crop_pct` does not say it."
    )
    library: str = Field("torchvision", description="Whose rounding and kernels.")


class CandidateOut(BaseModel):
    """A way to run the network that was considered."""

    engine: str
    precision: str
    lanes: int = Field(description="Batches at once.")
    images_per_s: float | None = Field(None, description="Measured with all lanes busy, when the engine was chosen.")
    why_not: str | None = Field(None, description="Why it was out of the question, such as other answers.")


class CapabilitiesOut(BaseModel):
    """What this model in this engine can do beside classifying."""

    embeddings: bool = Field(description="Whether /v1/embeddings answers.")
    embedding_width: int | None = Field(None, description="Numbers in an embedding.")
    explain: list[str] = Field(description="Methods that /v1/explain takes; none: it answers 501.")
    grid: tuple[int, int] | None = Field(None, description="Rows and columns of patches that are explained.")
    layers: int | None = Field(None, description="Layers of attention; a pool that attends is the last.")
    heads: int | None = Field(None, description="Heads in each.")


class ModelOut(BaseModel):
    """What is being served."""

    name: str
    variant: str
    parameters: int
    labels: list[str]
    preprocess: PreprocessOut
    sha256: str | None = Field(description="Of the weights file.")
    device: str
    precision: str
    activation: Activation = Field(description=_ACTIVATION)
    temperature: float = Field(1.0, description="What logits are divided by before that.")
    threshold: float | None = Field(None, description="Best scores below it are answered with low confidence.")
    notice: str | None = None
    label_ids: list[str] = Field([], description="WordNet's ids, one a label, where the labels are ImageNet's.")
    source: str | None = Field(None, description="`hf-hub:owner/name@commit` of a model from a hub.")
    engine: str = Field(description="What computes: openvino, torch, or noop without a network.")
    lanes: int = Field(description="Batches at once.")
    max_batch_size: int = Field(description="Images in a batch at most.")
    engine_reason: str | None = Field(None, description="Why it is this engine, where it was not the fastest.")
    candidates: list[CandidateOut] = Field([], description="What the engine was chosen from.")
    capabilities: CapabilitiesOut


class StatusOut(BaseModel):
    """Answer of a probe."""

    status: str


_IMAGE: Final = {"type": "string", "format": "binary"}
_PIXEL: Final = (  # a 1x1 PNG, so that the page's example can be sent as it is
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"
)
REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "image/*": {"schema": _IMAGE},
        "application/octet-stream": {"schema": _IMAGE},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"image": {"type": "array", "items": _IMAGE, "description": "One file or several."}},
                "required": ["image"],
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "string", "description": "Base64, also URL-safe or unpadded, or a data URL."},
                    "images": {"type": "array", "items": {"type": "string"}},
                },
            },
            "examples": {
                "one": {"value": {"image": _PIXEL}},
                "several": {"value": {"images": [_PIXEL, _PIXEL]}},
            },
        },
    },
}
PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "top_k",
        "in": "query",
        "description": "How many classes to return, at most `VIT_MAX_TOP_K`, 100; fewer than the default where the "
        "model has fewer. A parameter of any other name is refused.",
        "schema": {"type": "integer", "minimum": 1, "default": 5},
    },
    {
        "name": "X-Request-Timeout-Ms",
        "in": "header",
        "description": "Give up after this many milliseconds with 504; the server has a ceiling.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Comes back with the answer.",
        "schema": {"type": "string", "maxLength": 128},
    },
]
