"""Owns the request's id: taken from the client if sane, else made; does not log or answer."""

import random
import re
from typing import Any, Final

HEADER: Final = b"x-request-id"
_SANE: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_KEY: Final = "vit_serve.request_id"


def request_id(scope: dict[str, Any] | Any) -> str:
    """The id of the request with this ASGI scope, the same at every call."""
    known: str | None = scope.get(_KEY)
    if known is None:
        sent = next((value for name, value in scope.get("headers", ()) if name == HEADER), b"")
        known = scope[_KEY] = sent.decode("ascii") if _SANE.fullmatch(sent) else f"{random.getrandbits(128):032x}"
    return known
