"""Owns the options of a query that are words, numbers or yes and no, checked; does not know what they mean."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from starlette.requests import Request

from app.errors import InvalidParameter, UnknownParameter

_MAX_QUERY_BYTES: Final = 1024
_YES_OR_NO: Final = {"true": True, "1": True, "false": False, "0": False}


def options(request: Request, known: Sequence[str]) -> Mapping[str, str]:
    """The query's. Raises UnknownParameter for one that is not known, or a query that is too long."""
    names = ", ".join(map(repr, known))
    if len(request.scope["query_string"]) > _MAX_QUERY_BYTES:
        raise UnknownParameter(f"the query is longer than {_MAX_QUERY_BYTES} bytes; it may only have {names}")
    for name in request.query_params:
        if name not in known:
            near = get_close_matches(name.lower(), known, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it may only have {names}"
            raise UnknownParameter(f"the query has a parameter {name[:40]!r}, which is unknown; {hint}")
    return request.query_params


def word(name: str, value: Any, allowed: Sequence[str]) -> str:
    """One of those allowed. Raises InvalidParameter."""
    if value not in allowed:
        raise InvalidParameter(f"{name} is {str(value)[:40]!r}; it must be one of {', '.join(allowed)}")
    return str(value)


def number(name: str, text: str | None) -> int | None:
    """None where it was not given. Raises InvalidParameter."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidParameter(f"{name} is {text[:40]!r}; it must be a whole number from 0")
    return int(text)


def yes_or_no(name: str, value: Any) -> bool:
    """Of a query's text or of JSON. Raises InvalidParameter."""
    found = value if isinstance(value, bool) else _YES_OR_NO.get(str(value).lower())
    if found is None:
        raise InvalidParameter(f"{name} is {str(value)[:40]!r}; it must be true or false")
    return found
