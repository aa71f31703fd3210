"""Owns HTTP's answers → answers or errors; does not decide what is tried again."""

import math
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from vit_client.answers import Classification, Model, Prediction, Timing
from vit_client.errors import (
    ApiError,
    BadImage,
    BadRequest,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    ServerFailed,
    Unavailable,
    UnexpectedAnswer,
)

_BY_CODE: Final[dict[str, type[ApiError]]] = {
    **dict.fromkeys(("empty_body", "not_an_image", "corrupt_image", "too_many_pixels", "body_too_large"), BadImage),
    **dict.fromkeys(("overloaded", "too_many_connections"), Overloaded),
    **dict.fromkeys(("not_ready", "draining", "failed"), NotReady),
}
# Also of a proxy in front, which has no code to tell.
_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    408: DeadlineExceeded,
    429: Overloaded,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}
_WRONG: Final = (ValueError, LookupError, TypeError, AttributeError)


def read_classification(response: httpx.Response) -> Classification:
    """Of a response with status 200. Raises UnexpectedAnswer."""
    try:
        document = response.json()
        timing = Timing(*(float(document["timing_ms"][stage]) for stage in ("decode", "queue", "inference", "total")))
        predictions = tuple(
            Prediction(str(p["label"]), int(p["index"]), float(p["score"]), p.get("id"))
            for p in document["predictions"]
        )
        if not predictions:
            raise ValueError("an answer names at least one class")
        return Classification(
            model=str(document["model"]),
            predictions=predictions,
            timing=timing,
            batch_size=int(document["batch_size"]),
            request_id=str(document["request_id"]),
            activation=document.get("activation", "softmax"),
            confidence=document.get("confidence"),
            notice=document.get("notice"),
        )
    except _WRONG as error:
        raise _unexpected(response) from error


def read_model(response: httpx.Response) -> Model:
    """Of a response with status 200. Raises UnexpectedAnswer."""
    try:
        document = response.json()
        if not isinstance(document["labels"], list):
            raise TypeError("labels are a list")
        return Model(
            name=str(document["name"]),
            labels=tuple(map(str, document["labels"])),
            variant=str(document.get("variant", "")),
            parameters=int(document.get("parameters", 0)),
            engine=str(document.get("engine", "")),
            device=str(document.get("device", "")),
            precision=str(document.get("precision", "")),
            activation=document.get("activation", "softmax"),
            threshold=document.get("threshold"),
            label_ids=tuple(map(str, document.get("label_ids", ()))),
            notice=document.get("notice"),
            document=document,
        )
    except _WRONG as error:
        raise _unexpected(response) from error


def read_error(response: httpx.Response) -> ApiError:
    """Of a response with another status than 200."""
    status, message, code = response.status_code, "", ""
    try:
        document = response.json()
        message, code = document["error"], document["code"]
        kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (BadRequest if status < 500 else ServerFailed)
    except _WRONG:
        if status not in _BY_STATUS:
            return _unexpected(response)
        message, code, kind = f"the server answered {status}", f"http_{status}", _BY_STATUS[status]
    if status < 400:
        return _unexpected(response)
    retry_after = _seconds(response.headers.get("retry-after", ""), response.headers.get("date", ""))
    return kind(str(message), code=str(code), status=status, request_id=_request_id(response), retry_after=retry_after)


def _unexpected(response: httpx.Response) -> UnexpectedAnswer:
    message = f"the server's answer {response.status_code} is none of vit-serve's"
    return UnexpectedAnswer(message, status=response.status_code, request_id=_request_id(response))


def _request_id(response: httpx.Response) -> str | None:
    told: Any = response.headers.get("x-request-id")
    return told if isinstance(told, str) else None


def _seconds(retry_after: str, now: str) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date, whose distance is that to the server's own clock."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - parsedate_to_datetime(now)).total_seconds()
        except (ValueError, TypeError):  # no date, or one of the two without a zone
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
