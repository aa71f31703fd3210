"""Owns the shapes of embeddings and explanations as the OpenAPI page shows them; does not build answers."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import STATUS
from app.api.schemas import (
    ID,
    PARAMETERS,
    PREDICTIONS,
    REQUEST_BODY,
    RESULT,
    TIMING,
    ErrorOut,
    ItemErrorOut,
    PredictionOut,
    TimingOut,
)
from app.domain import Activation, ExplainingMethod

FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorOut} for status in sorted(set(STATUS.values()) - {404, 499})
}
EXPLAIN_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Successful Response",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
    **FAILURES,
}
_EXPLANATION: Final[dict[str, Any]] = {
    "model": RESULT["model"],
    "method": "rollout",
    "rows": 2,
    "columns": 2,
    "grid": [[0.11, 0.32], [0.05, 0.21]],
    "activation": "softmax",
    "predictions": PREDICTIONS,
    "timing_ms": TIMING,
    "batch_size": 1,
}


class EmbeddingOut(BaseModel):
    """One image's."""

    object: Literal["embedding"]
    index: int = Field(ge=0, description="Of the image in the request.")
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")


class UsageOut(BaseModel):
    """Tokens of text, of which there are none."""

    prompt_tokens: Literal[0]
    total_tokens: Literal[0]


class EmbeddingsOut(BaseModel):
    """OpenAI's answer: one embedding for each image, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.43, -1.2, 0.08]}],
                "model": RESULT["model"],
                "usage": {"prompt_tokens": 0, "total_tokens": 0},
                "request_id": ID,
            }
        }
    )

    object: Literal["list"]
    data: list[EmbeddingOut]
    model: str
    usage: UsageOut
    request_id: str


class ExplanationOut(BaseModel):
    """Where the model looked in one image."""

    model: str
    method: ExplainingMethod
    layer: int | None = Field(None, description="Of `attention`.")
    head: int | None = Field(None, description="The one that was asked for.")
    class_: int | None = Field(None, alias="class", description="Of `gradient`: the class that the map speaks for.")
    rows: int = Field(ge=1)
    columns: int = Field(ge=1)
    grid: list[list[float]] = Field(
        description="A weight for each patch of what the model sees of the image, after resizing and cropping. Of "
        "`rollout` and `attention` shares of 1, of which tokens that are no patches have the rest."
    )
    heads: list[list[list[float]]] | None = Field(
        None, description="Of `attention`: each head's grid; `grid` is the mean."
    )
    activation: Activation
    predictions: list[PredictionOut] = Field(description="The best five, of the same forward pass.")
    timing_ms: TimingOut
    batch_size: int = Field(ge=1)


class ExplainOut(ExplanationOut):
    """The answer to a request with one image."""

    model_config = ConfigDict(json_schema_extra={"example": {**_EXPLANATION, "request_id": ID}})

    request_id: str


class ExplainManyOut(BaseModel):
    """The answer to a request with several images, in their order."""

    model_config = ConfigDict(json_schema_extra={"example": {"results": [_EXPLANATION], "request_id": ID}})

    results: list[ExplanationOut | ItemErrorOut]
    request_id: str


def _query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": schema}


_WHOLE: Final = {"type": "integer", "minimum": 0}
_COMMON: Final = [each for each in PARAMETERS if each["in"] == "header"]
_NORMALIZE: Final = "Whether embeddings are made to have a length (L2) of 1; also a member of the JSON."
_ENCODING: Final = "Numbers, or base64 of little-endian float32, a quarter as long; also a member of the JSON."
EMBEDDING_PARAMETERS: Final[list[dict[str, Any]]] = [
    _query("normalize", _NORMALIZE, {"type": "boolean", "default": False}),
    _query("encoding_format", _ENCODING, {"type": "string", "enum": ["float", "base64"], "default": "float"}),
    *_COMMON,
]
EXPLAIN_PARAMETERS: Final[list[dict[str, Any]]] = [
    _query(
        "method",
        "`rollout`: attention of all layers together (arXiv 2005.00928); `attention`: of one layer, as it is; "
        "`gradient`: of all layers, as far as it speaks for a class (arXiv 2103.15679), in torch only. /v1/model says "
        "which there are.",
        {"type": "string", "enum": ["rollout", "attention", "gradient"], "default": "rollout"},
    ),
    _query("layer", "For `attention`, the first is 0; by default the last.", _WHOLE),
    _query("head", "For `attention`: this head alone, not the mean.", _WHOLE),
    _query("class", "For `gradient`: the index of a class; by default the best.", _WHOLE),
    _query(
        "format",
        "`png`: what the model saw under a heat map. By default what `Accept` prefers.",
        {"type": "string", "enum": ["json", "png"]},
    ),
    *_COMMON,
]
_INPUT: Final = {"type": "string", "description": "A data URL, or base64."}
_PIXEL: Final = REQUEST_BODY["content"]["application/json"]["examples"]["one"]["value"]["image"]
EMBEDDING_BODY: Final[dict[str, Any]] = {
    **REQUEST_BODY,
    "content": {
        **REQUEST_BODY["content"],
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "input": {"oneOf": [_INPUT, {"type": "array", "items": _INPUT}]},
                    "model": {"type": "string", "description": "Any: there is one."},
                    "encoding_format": {"type": "string", "enum": ["float", "base64"], "default": "float"},
                    "normalize": {"type": "boolean", "default": False},
                },
                "description": "OpenAI's, or as for /v1/classify `image` or `images`.",
            },
            "examples": {
                "one": {"value": {"input": f"data:image/png;base64,{_PIXEL}", "model": "any"}},
                "several": {"value": {"input": [_PIXEL, _PIXEL], "encoding_format": "base64"}},
            },
        },
    },
}
