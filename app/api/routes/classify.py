"""Owns `POST /v1/classify`; does not unpack bodies or decide statuses."""

import asyncio
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.answer import result_document
from app.api.answering import Asked, Images, answer, is_raw
from app.api.envelopes import unpack
from app.api.errors import STATUS, error_body
from app.api.parameters import top_k
from app.api.request_id import request_id
from app.api.schemas import PARAMETERS, REQUEST_BODY, ClassifyManyOut, ClassifyOut, ErrorOut
from app.api.state import State
from app.domain import Classification
from app.errors import VitServeError

router = APIRouter()
_MANY_PREDICTIONS: Final = 500  # written as JSON they take a millisecond
_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorOut} for status in sorted(set(STATUS.values()) - {404, 499, 501})
}


@router.post(
    "/v1/classify",
    summary="Classify one image or several",
    response_model=ClassifyOut | ClassifyManyOut,
    responses=_FAILURES,
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": PARAMETERS},
)
async def classify(request: Request) -> Response:
    """The bytes decide what is an image; the content type only tells a form or JSON from a raw body."""
    state, content_type = State.of(request), request.headers.get("content-type", "")
    each = partial(state.classifier.classify, top_k=state.classifier.check_top_k(top_k(request)))
    most = state.settings.max_images_per_request

    def unpack_body(body: bytearray) -> Asked[Classification]:
        images = Images([body], many=False) if is_raw(body) else unpack(body, content_type, most)
        return Asked(images, each, terms=images.many)

    answers, many = await answer(request, unpack_body)
    results = [error_body(one) if isinstance(one, VitServeError) else result_document(one) for one in answers]
    headers = {} if many or isinstance(answers[0], VitServeError) else {"Server-Timing": _server_timing(answers[0])}
    content = {"results": results} if many else results[0]
    return await _json({**content, "request_id": request_id(request.scope)}, headers)


async def _json(content: dict[str, Any], headers: dict[str, str]) -> Response:
    """JSON, written in another thread where it is so much that it would hold up the others."""
    many = sum(len(result.get("predictions", ())) for result in content.get("results", ())) > _MANY_PREDICTIONS
    return await asyncio.to_thread(JSONResponse, content, 200, headers) if many else JSONResponse(content, 200, headers)


def _server_timing(answer: Classification) -> str:
    """W3C Server-Timing, which browsers show in their network panel."""
    timing = answer.timing
    return (
        f"decode;dur={timing.decode_ms:.3f}, queue;dur={timing.queue_ms:.3f}, "
        f"inference;dur={timing.inference_ms:.3f}, total;dur={timing.total_ms:.3f}"
    )
