"""Owns what a request says beside its body: query and headers, checked; does not act on it."""

import math
from typing import Final

from starlette.requests import Request

from app.api.options import options
from app.errors import InvalidTimeout, InvalidTopK
from app.image_path import LEAST_TIMEOUT_S

_KNOWN: Final = ("top_k",)


def top_k(request: Request) -> int | None:
    """How many classes are asked for, if any number is. Raises InvalidTopK or UnknownParameter."""
    text = options(request, _KNOWN).get("top_k")
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
