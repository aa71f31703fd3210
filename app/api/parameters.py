"""Owns what a request says beside its body: query and headers, checked; does not act on it."""

import math
from difflib import get_close_matches
from typing import Final

from starlette.requests import Request

from app.errors import InvalidTimeout, InvalidTopK, UnknownParameter

LEAST_TIMEOUT_S: Final = 1e-6  # still a number of seconds, where 0 would mean none
_KNOWN: Final = ("top_k",)
_MAX_QUERY_BYTES: Final = 1024


def top_k(request: Request) -> int | None:
    """How many classes are asked for, if any number is. Raises InvalidTopK or UnknownParameter."""
    if len(request.scope["query_string"]) > _MAX_QUERY_BYTES:
        raise UnknownParameter(f"the query is longer than {_MAX_QUERY_BYTES} bytes; it may only have {_KNOWN[0]!r}")
    for name in request.query_params:
        if name not in _KNOWN:
            near = get_close_matches(name.lower(), _KNOWN, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it may only have {_KNOWN[0]!r}"
            raise UnknownParameter(f"the query has a parameter {name[:40]!r}, which is unknown; {hint}")
    text = request.query_params.get("top_k")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidTopK(f"top_k is {text[:40]!r}; it must be a whole number from 1 to the number of classes")
    return int(text)


def timeout_s_of(request: Request, ceiling_s: float) -> float:
    """Seconds for the whole request, from its headers to its answer. Raises InvalidTimeout."""
    text = request.headers.get("x-request-timeout-ms")
    if text is None:
        return ceiling_s
    try:
        timeout_ms = float(text[:40])
    except ValueError:
        timeout_ms = math.nan
    if not 0 < timeout_ms < math.inf:
        raise InvalidTimeout(f"X-Request-Timeout-Ms is {text[:40]!r}; it must be a positive number of milliseconds")
    return min(max(timeout_ms / 1000, LEAST_TIMEOUT_S), ceiling_s)
