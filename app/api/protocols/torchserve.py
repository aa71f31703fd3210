"""Owns TorchServe's inference API, as its stock image classifier answers; does not know its management API."""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.answering import Asked, Images, answer, first_error, is_raw
from app.api.envelopes import unpack
from app.api.errors import STATUS, count_refusal, error_response
from app.api.parameters import top_k
from app.api.protocols.names import check_model
from app.api.protocols.replies import json_reply
from app.api.state import State
from app.domain import Classification
from app.engine.client import Status
from app.errors import NotSupported, VitServeError

router = APIRouter(include_in_schema=False)
_FIELD: Final = "data"
_VERSIONS: Final = ("1.0", "1")  # the first is what its archiver writes unless told otherwise
_TYPES: Final = {
    404: "ModelNotFoundException",
    408: "RequestTimeoutException",
    500: "InternalServerException",
    501: "NotImplementedException",
    503: "ServiceUnavailableException",
    504: "RequestTimeoutException",
}
_WAYS: Final = ["POST", "PUT"]  # `curl -T` sends the latter


@router.api_route("/predictions/{model}/{version}", methods=_WAYS)
@router.api_route("/predictions/{model}", methods=_WAYS)
async def predictions(request: Request) -> Response:
    """`{label: probability}` of the five best classes; of a form with several fields `data` a list of those."""
    try:
        check_model(request, _VERSIONS)
        return await _predicted(request)
    except VitServeError as error:
        count_refusal(State.of(request).metrics, error)
        return _failed(request, error)


@router.api_route("/explanations/{model}", methods=_WAYS)
async def explanations(request: Request) -> Response:
    """Not kept: 501."""
    error = NotSupported("TorchServe's explanations are not supported")
    count_refusal(State.of(request).metrics, error)
    return _failed(request, error)


@router.get("/ping")
async def ping(request: Request) -> JSONResponse:
    """`{"status": "Healthy"}`, or another with 503 while no image would be taken."""
    healthy = State.of(request).classifier.status is Status.READY
    return JSONResponse({"status": "Healthy" if healthy else "Unhealthy"}, 200 if healthy else 503)


@router.options("/")
async def description(request: Request) -> JSONResponse:
    """The OpenAPI document, of this service's own API."""
    return JSONResponse(request.app.openapi())


async def _predicted(request: Request) -> Response:
    state, content_type = State.of(request), request.headers.get("content-type", "")
    each = partial(state.classifier.classify, top_k=state.classifier.check_top_k(top_k(request)))
    most = state.settings.max_images_per_request

    def unpack_body(body: bytearray) -> Asked[Classification]:
        images = Images([body], many=False) if is_raw(body) else unpack(body, content_type, most, _FIELD)
        return Asked(images, each, terms=images.many)

    answers, many = await answer(request, unpack_body)
    if (error := first_error(answers)) is not None:
        return _failed(request, error)
    classifications = [one for one in answers if isinstance(one, Classification)]
    written = partial(_document, classifications, many)
    return await json_reply(written, sum(len(one.predictions) for one in classifications))


def _document(answers: list[Classification], many: bool) -> Any:
    results = [_probabilities(one) for one in answers]
    return results if many else results[0]


def _probabilities(answer: Classification) -> dict[str, float]:
    """Of two classes with one name, as ImageNet has them, the likelier."""
    best: dict[str, float] = {}
    for each in answer.predictions:
        best.setdefault(each.label, each.score)
    return best


def _failed(request: Request, error: VitServeError) -> Response:
    """TorchServe's three fields and our `error`; its `code` is the status, so ours is `reason`."""
    status = STATUS.get(type(error), 500)
    more: dict[str, Any] = {"code": status, "type": _TYPES.get(status, "BadRequestException"), "message": str(error)}
    return error_response(request, error, reason=error.code, **more)
