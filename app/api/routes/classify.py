"""Owns `POST /v1/classify`; does not unpack bodies or decide statuses."""

import asyncio
import logging
import math
import time
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from app.api.answer import result_document
from app.api.body import read_images
from app.api.disconnect import unless_gone
from app.api.errors import STATUS, error_body
from app.api.request_id import request_id
from app.api.schemas import PARAMETERS, REQUEST_BODY, ClassifyManyOut, ClassifyOut, ErrorOut
from app.api.state import ANSWERED_AT, State
from app.classifier import Classifier
from app.domain import Classification
from app.errors import InvalidTimeout, InvalidTopK, RequestError, Unavailable, VitServeError

logger = logging.getLogger(__name__)
router = APIRouter()
_LEAST_TIMEOUT_S: Final = 1e-6  # still a number of seconds, where 0 would mean none
_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorOut} for status in sorted(set(STATUS.values()) - {499})
}


@router.post(
    "/v1/classify",
    summary="Classify one image or several",
    response_model=ClassifyOut | ClassifyManyOut,
    responses=_FAILURES,
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": PARAMETERS},
)
async def classify(request: Request) -> JSONResponse:
    """The bytes decide what is an image; the content type only tells a form or JSON from a raw body."""
    state = State.of(request)
    top_k, timeout_s = _top_k(request), _timeout_s(request, state.settings.request_timeout_ms / 1000)
    top_k = state.classifier.check_top_k(top_k)
    state.classifier.check_admission(timeout_s)  # before the body is read: a refusal should cost nothing
    with state.open_requests:
        started_at = time.monotonic()
        images = await read_images(request, state.settings.max_images_per_request, timeout_s)
        read_s = time.monotonic() - started_at
        state.metrics.stage("read", read_s)
        left_s = max(timeout_s - read_s, _LEAST_TIMEOUT_S)
        if images.many:
            results = await unless_gone(request, _classify_many(state.classifier, images.items, top_k, left_s))
            content, headers = {"results": results}, {}
        else:
            (item,) = images.items
            assert isinstance(item, bytes)
            answer = await unless_gone(request, state.classifier.classify(item, top_k=top_k, timeout_s=left_s))
            content, headers = result_document(answer), {"Server-Timing": _server_timing(answer)}
    request.scope[ANSWERED_AT] = time.monotonic()
    return JSONResponse({**content, "request_id": request_id(request.scope)}, headers=headers)


async def _classify_many(
    classifier: Classifier, items: list[bytes | RequestError], top_k: int, timeout_s: float
) -> list[dict[str, Any]]:
    """Each image on its own; if the service took none of them, the request as a whole is refused."""

    async def one(item: bytes | RequestError) -> Classification | VitServeError:
        if isinstance(item, RequestError):
            return item
        try:
            return await classifier.classify(item, top_k=top_k, timeout_s=timeout_s)
        except VitServeError as error:
            return error
        except Exception:  # a bug, which must not cost the other images their answers
            logger.exception("an image failed")
            return VitServeError("an internal error happened on this image; the log has it")

    answers = await asyncio.gather(*map(one, items))
    if all(isinstance(answer, Unavailable) for answer in answers):
        assert isinstance(answers[0], Unavailable)
        raise answers[0]
    return [result_document(a) if isinstance(a, Classification) else error_body(a) for a in answers]


def _server_timing(answer: Classification) -> str:
    """W3C Server-Timing, which browsers show in their network panel."""
    timing = answer.timing
    return (
        f"decode;dur={timing.decode_ms:.3f}, queue;dur={timing.queue_ms:.3f}, "
        f"inference;dur={timing.inference_ms:.3f}, total;dur={timing.total_ms:.3f}"
    )


def _top_k(request: Request) -> int | None:
    text = request.query_params.get("top_k")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidTopK(f"top_k is {text[:40]!r}; it must be a whole number from 1 to the number of classes")
    return int(text)


def _timeout_s(request: Request, ceiling_s: float) -> float:
    """Seconds for the whole request, from its headers to its answer."""
    text = request.headers.get("x-request-timeout-ms")
    if text is None:
        return ceiling_s
    try:
        timeout_ms = float(text)
    except ValueError:
        timeout_ms = math.nan
    if not 0 < timeout_ms < math.inf:
        raise InvalidTimeout(f"X-Request-Timeout-Ms is {text[:40]!r}; it must be a positive number of milliseconds")
    return min(max(timeout_ms / 1000, _LEAST_TIMEOUT_S), ceiling_s)
