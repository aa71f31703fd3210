"""Owns `POST /v1/classify`; does not unpack bodies or decide statuses."""

import asyncio
import itertools
import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.admission import Held
from app.api.answer import result_document
from app.api.body import read_body
from app.api.disconnect import unless_gone
from app.api.envelopes import Images, empty, is_raw, let_go, unpack, unpack_for_good
from app.api.errors import STATUS, count_refusal, error_body
from app.api.parameters import LEAST_TIMEOUT_S, timeout_s_of, top_k
from app.api.request_id import request_id
from app.api.schemas import PARAMETERS, REQUEST_BODY, ClassifyManyOut, ClassifyOut, ErrorOut
from app.api.state import ANSWERED_AT, TRACE, State
from app.classifier import Encoded
from app.domain import Classification
from app.errors import DeadlineExceeded, RequestError, TooManyPixels, Unavailable, VitServeError
from app.imaging.pool import Examined
from app.telemetry.tracing import RequestTrace

logger = logging.getLogger(__name__)
router = APIRouter()
_LARGE_BYTES: Final = 64 * 1024  # unpacking more than this would hold up the others on the event loop
_MANY_PREDICTIONS: Final = 500  # written as JSON they take a millisecond
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
async def classify(request: Request) -> Response:
    """The bytes decide what is an image; the content type only tells a form or JSON from a raw body."""
    state, started_at = State.of(request), time.monotonic()
    settings, trace = state.settings, request.scope.get(TRACE)
    ceiling_s = settings.request_timeout_ms / 1000
    asked, timeout_s = top_k(request), timeout_s_of(request, ceiling_s)
    try:
        limit = state.classifier.check_top_k(asked)
        state.classifier.check_admission(timeout_s)  # before the body is read: a refusal should cost nothing
        with state.bodies.hold() as held:
            body = await read_body(request, held, timeout_s)
            images = await _unpack(body, request, held, started_at + timeout_s)
            del body
            read_at = time.monotonic()
            state.metrics.stage("read", read_at - started_at)
            if trace is not None:
                trace.stage("read", started_at, read_at)
            left_s = max(started_at + timeout_s - read_at, LEAST_TIMEOUT_S)
            work = _answer(state, images, limit, left_s, trace)
            try:
                content, headers = await unless_gone(request, work)
            except RequestError as error:
                let_go(error)
                _empty_elsewhere(images, state)
                raise
            _empty_elsewhere(images, state)
    except DeadlineExceeded:
        state.metrics.deadline_exceeded(timeout_s < ceiling_s)
        raise
    request.scope[ANSWERED_AT] = time.monotonic()
    return await _json({**content, "request_id": request_id(request.scope)}, headers)


def _empty_elsewhere(images: Images, state: State) -> None:
    """A large image that nobody decodes any more; among several one may still be."""
    item = images.items[0]
    if not images.many and isinstance(item, bytearray) and len(item) > _LARGE_BYTES:
        state.unpacking.submit(empty, item)


async def _unpack(body: bytearray, request: Request, held: Held, until: float) -> Images:
    if is_raw(body):
        return Images([body], many=False)
    state = State.of(request)
    given = body, request.headers.get("content-type", ""), state.settings.max_images_per_request
    if len(body) <= _LARGE_BYTES:
        return unpack(*given)
    try:
        async with asyncio.timeout_at(until):
            images = await asyncio.get_running_loop().run_in_executor(state.unpacking, unpack_for_good, *given)
    except TimeoutError as error:
        raise DeadlineExceeded("the time was over when the body was unpacked") from error
    held.add(sum(len(item) for item in images.items if not isinstance(item, RequestError)))
    return images


async def _answer(
    state: State, images: Images, limit: int, timeout_s: float, trace: RequestTrace | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The document and headers of the answer."""
    if images.many:
        return {"results": await _classify_many(state, images.items, limit, timeout_s, trace)}, {}
    (item,) = images.items
    if isinstance(item, RequestError):
        raise item
    examined = state.classifier.examine(item)
    _check_pixels(examined.pixels, state)
    begun_at = time.monotonic()
    answer = await state.classifier.classify(item, top_k=limit, timeout_s=timeout_s, examined=examined)
    if trace is not None:
        trace.image(0, begun_at, answer)
    return result_document(answer), {"Server-Timing": _server_timing(answer)}


async def _classify_many(
    state: State, items: Sequence[Encoded | RequestError], limit: int, timeout_s: float, trace: RequestTrace | None
) -> list[dict[str, Any]]:
    """Each image on its own; if the service took none of them, the request as a whole is refused.

    Once the request is let in, its images wait for room rather than be refused.
    """
    until = time.monotonic() + timeout_s
    pixels, examined = 0, list[Examined | RequestError]()
    for item in items:
        try:
            examined.append(item if isinstance(item, RequestError) else state.classifier.examine(item))
        except RequestError as error:
            examined.append(error)
        pixels += 0 if isinstance(examined[-1], RequestError) else examined[-1].pixels
        await asyncio.sleep(0)  # a header may take a millisecond
    _check_pixels(pixels, state)

    async def one(
        index: int, item: Encoded | RequestError, header: Examined | RequestError
    ) -> dict[str, Any] | VitServeError:
        if isinstance(header, RequestError):
            return header
        assert not isinstance(item, RequestError)  # or its header would be that error
        try:
            begun_at = time.monotonic()
            left_s = max(until - begun_at, LEAST_TIMEOUT_S)
            answer = await state.classifier.classify(item, top_k=limit, timeout_s=left_s, patient=True, examined=header)
            if trace is not None:
                trace.image(index, begun_at, answer)
            return result_document(answer)
        except VitServeError as error:
            return error
        except Exception:  # a bug, which must not cost the other images their answers
            logger.exception("an image failed")
            return VitServeError("an internal error happened on this image; the log has it")

    answers = await asyncio.gather(*map(one, itertools.count(), items, examined))
    if all(isinstance(answer, Unavailable | DeadlineExceeded) for answer in answers):
        assert isinstance(answers[0], VitServeError)
        raise answers[0]
    for answer in answers:
        if isinstance(answer, VitServeError):
            count_refusal(state.metrics, answer)
    return [error_body(answer) if isinstance(answer, VitServeError) else answer for answer in answers]


def _check_pixels(pixels: int, state: State) -> None:
    if pixels > (most := state.settings.max_pixels_per_request):
        raise TooManyPixels(f"the request's images have {pixels} pixels together; the limit is {most}")


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
