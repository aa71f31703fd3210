"""Owns Hugging Face's image classification, as its inference endpoints answer; does not know other tasks of theirs."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, cast

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.answering import Asked, Each, Images, answer, first_error, is_raw
from app.api.base64_text import image_from_text
from app.api.envelopes import check_count
from app.api.errors import count_refusal, error_response
from app.api.json_document import Document, parse_json
from app.api.protocols.instances import top_k_of
from app.api.protocols.replies import json_reply
from app.api.routes.health import readyz
from app.api.state import State
from app.domain import Activation, Classification, Logits, Scoring
from app.errors import MalformedRequest, RequestError, Unavailable, VitServeError
from app.graphs.scores import scores_of

router = APIRouter(include_in_schema=False)
_FUNCTIONS: Final = ("softmax", "sigmoid", "none")
_ESTIMATED_S: Final = 1.0  # nobody knows how long a warm-up still takes; their clients ask again after this
_Elements = list[dict[str, Any]]


class Inputs(NamedTuple):
    """What a body asks for; what is None is left to the model."""

    images: Images
    top_k: int | None = None
    function: Activation | None = None


@router.post("/")
@router.post("/models/{model:path}")
async def classify(request: Request) -> Response:
    """`[{"label", "score"}, …]`, best first; of a list of inputs a list of those. Any model's name is taken."""
    try:
        return await _classified(request)
    except VitServeError as error:
        count_refusal(State.of(request).metrics, error)
        return _failed(request, error)


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """As `/readyz`."""
    return await readyz(request)


async def _classified(request: Request) -> Response:
    state = State.of(request)
    most, info = state.settings.max_images_per_request, state.classifier.info

    def unpack(body: bytearray) -> Asked[Classification | Logits]:
        inputs = Inputs(Images([body], many=False)) if is_raw(body) else read_inputs(body, most)
        # Their pipelines give all classes where more are asked for than there are.
        top_k = state.classifier.check_top_k(None if inputs.top_k is None else min(inputs.top_k, len(info.labels)))
        each: Each[Classification | Logits] = partial(state.classifier.classify, top_k=top_k)
        elements: Callable[[Any], _Elements] = _of_predictions
        if inputs.function not in (None, info.activation):
            scoring = Scoring(inputs.function, info.temperature)  # so that each agrees with the answer without it
            each, elements = partial(state.classifier.logits), partial(_of_logits, info.labels, top_k, scoring)
        return Asked(inputs.images, each, terms=(inputs.images.many, elements))

    answers, (many, elements) = await answer(request, unpack)
    if (error := first_error(answers)) is not None:
        return _failed(request, error)
    every = [one for one in answers if not isinstance(one, VitServeError)]
    numbers = sum(len(one.values) if isinstance(one, Logits) else len(one.predictions) for one in every)
    return await json_reply(lambda: [*map(elements, every)] if many else elements(every[0]), numbers)


def _failed(request: Request, error: VitServeError) -> Response:
    waits = {"estimated_time": _ESTIMATED_S} if isinstance(error, Unavailable) else {}
    return error_response(request, error, **waits)


def read_inputs(body: bytes | bytearray, max_images: int) -> Inputs:
    """Of a body that is no image. Raises MalformedRequest, EmptyBody, TooManyImages or InvalidTopK."""
    document = parse_json(body, max_images)
    value = document.value
    found = value.get("inputs", value.get("data")) if isinstance(value, dict) else None
    if not isinstance(found, str | list):
        raise MalformedRequest('the body must be an image, or {"inputs": "<base64>", "parameters": {…}}')
    items = found if isinstance(found, list) else [found]
    check_count(len(items), max_images)
    parameters = value.get("parameters") or {}
    top_k = top_k_of(parameters, ("top_k", "topK"))
    function = parameters.get("function_to_apply", parameters.get("functionToApply"))
    if function is not None and function not in _FUNCTIONS:
        raise MalformedRequest(f"function_to_apply is {str(function)[:40]!r}; it must be one of {_FUNCTIONS}")
    images = [_image(item, index, document) for index, item in enumerate(items)]
    return Inputs(Images(list(images), many=isinstance(found, list)), top_k, cast(Activation | None, function))


def _image(item: Any, index: int, document: Document) -> bytes:
    if not isinstance(item, str):
        raise MalformedRequest(f"input {index} is {type(item).__name__}; it must be a base64 string")
    if item.startswith(("http://", "https://")):
        raise MalformedRequest(f"input {index} is an address; images are not fetched, send them")
    try:
        return image_from_text(document.text(item))
    except RequestError as error:
        raise MalformedRequest(f"input {index}: {error}") from error


def _of_predictions(answer: Classification) -> _Elements:
    return [{"label": each.label, "score": each.score} for each in answer.predictions]


def _of_logits(labels: tuple[str, ...], top_k: int, scoring: Scoring, answer: Logits) -> _Elements:
    [scores] = scores_of(np.asarray([answer.values], np.float32), scoring)
    best = np.argsort(-scores, kind="stable")[:top_k]
    return [{"label": labels[index], "score": float(scores[index])} for index in best]
