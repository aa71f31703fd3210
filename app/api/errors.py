"""Owns the one table from errors to HTTP statuses, and the error body; does not raise."""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from app import errors
from app.api.encoding import ACCEPTED
from app.api.request_id import request_id
from app.api.state import FAILED_BY, State
from app.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

STATUS: Final[dict[type[errors.VitServeError], int]] = {
    errors.UnknownModel: 404,
    errors.EmptyBody: 400,
    errors.MalformedRequest: 400,
    errors.BodyTimeout: 408,
    errors.BodyTooLarge: 413,
    errors.TooManyImages: 413,
    errors.NotAnImage: 415,
    errors.UnsupportedEncoding: 415,
    errors.CorruptImage: 422,
    errors.TooManyPixels: 422,
    errors.UnknownParameter: 422,
    errors.InvalidParameter: 422,
    errors.InvalidTopK: 422,
    errors.InvalidTimeout: 422,
    errors.ClientGone: 499,  # nginx's number; only metrics and logs see it
    errors.InferenceFailed: 500,
    errors.NotSupported: 501,
    errors.Overloaded: 503,
    errors.NotReady: 503,
    errors.EngineFailed: 503,
    errors.Draining: 503,
    errors.DeadlineExceeded: 504,
}


def error_body(error: errors.VitServeError) -> dict[str, str]:
    """The two fields that every error answer has, a sentence and a stable code."""
    return {"error": str(error), "code": error.code}


def error_response(request: Request, error: errors.VitServeError, **more: str | float) -> JSONResponse:
    """The answer to a request that failed as a whole; `more`: what another contract wants besides."""
    headers = {}
    if isinstance(error, errors.Overloaded):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, errors.Unavailable):
        headers["Retry-After"] = "1"
    elif isinstance(error, errors.UnsupportedEncoding):
        headers["Accept-Encoding"] = ACCEPTED  # RFC 9110, 12.5.3
    return _response(request, STATUS.get(type(error), 500), error_body(error), headers, more)


def count_refusal(metrics: Metrics, error: errors.VitServeError) -> None:
    """One image, or a request as a whole, ends with this error."""
    metrics.refusal(error.code, error.stage)


async def handle_known(request: Request, error: Exception) -> JSONResponse:
    """For everything raised on purpose."""
    assert isinstance(error, errors.VitServeError)
    count_refusal(State.of(request).metrics, error)
    return error_response(request, error)


async def handle_http(request: Request, error: Exception) -> JSONResponse:
    """For what the router raises: unknown routes and wrong methods."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"][:200]  # not request.url, which fails on a query that is no UTF-8
    sentence = {
        404: f"there is nothing at {path}",
        405: f"{request.method} is not allowed at {path}",
    }.get(error.status_code, str(error.detail))
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return _response(request, error.status_code, {"error": sentence, "code": code}, dict(error.headers or {}))


def unknown_error_response(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that met a bug: the cause goes to the log, not to the client."""
    logger.error("request %s failed", request_id(request.scope), exc_info=error)
    body = {"error": "an internal error happened; the log has it under this request id", "code": "internal_error"}
    return _response(request, 500, body, {})


def _response(
    request: Request,
    status: int,
    body: dict[str, str],
    headers: dict[str, str],
    more: Mapping[str, str | float] = MappingProxyType({}),
) -> JSONResponse:
    request.scope[FAILED_BY] = body["code"], body["error"]
    return JSONResponse({**body, "request_id": request_id(request.scope), **more}, status, headers)
