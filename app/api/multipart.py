"""Owns multipart/form-data (RFC 7578), a body in memory → its parts; does not know which field holds what."""

import re
from typing import Final, NamedTuple

from app.errors import MalformedRequest

_MAX_BOUNDARY_BYTES: Final = 70  # RFC 2046, section 5.1.1
_MAX_HEAD_BYTES: Final = 8192
_END_OF_HEAD: Final = b"\r\n\r\n"
# RFC 9110, 5.6.6. Possessive, and matched one after the other from where the last one ended: linear in the bytes.
_PARAMETER: Final = re.compile(
    rb';[ \t]*+([^\s;="]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^;"\s]*+))[ \t]*+', re.DOTALL
)
_WINDOW_BYTES: Final = 2**20  # searched at a time: within one search no other thread runs


class Part(NamedTuple):
    """One field of a form; a file's name and type are left aside."""

    name: str
    content: bytes | bytearray


def read_parts(body: bytes | bytearray, content_type: str, max_parts: int) -> list[Part]:
    """The first `max_parts` parts of a form, in order; what follows is not looked at.

    Everything is searched and cut in C, so that no form keeps the event loop; the usual streaming parsers spool to
    disk what is here in memory anyway. Raises MalformedRequest.
    """
    boundary = _parameter(content_type.encode("latin-1"), b"boundary")
    if not 0 < len(boundary) <= _MAX_BOUNDARY_BYTES:
        raise MalformedRequest(f"a multipart body needs a boundary of 1 to {_MAX_BOUNDARY_BYTES} bytes in Content-Type")
    delimiter = b"\r\n--" + boundary
    at = _find(body, delimiter[2:], 0)
    if at < 0:
        raise MalformedRequest("the boundary that Content-Type names is not in the multipart body")
    at += len(delimiter) - 2
    parts: list[Part] = []
    while len(parts) < max_parts and not body.startswith(b"--", at):
        end = _find(body, delimiter, at)
        if end < 0:
            raise MalformedRequest("the multipart body is cut short: its last boundary is missing")
        end_of_head = body.find(_END_OF_HEAD, at, min(end, at + _MAX_HEAD_BYTES))
        if end_of_head < 0:
            raise MalformedRequest(f"a part of the form has no end of its headers within {_MAX_HEAD_BYTES} bytes")
        parts.append(Part(_name(body[at:end_of_head]), body[end_of_head + len(_END_OF_HEAD) : end]))
        at = end + len(delimiter)
    return parts


def _find(body: bytes | bytearray, wanted: bytes, at: int) -> int:
    """As `body.find`, which takes a tenth of a second for megabytes that nearly match."""
    for start in range(at, len(body), _WINDOW_BYTES):
        found = body.find(wanted, start, start + _WINDOW_BYTES + len(wanted))
        if found >= 0:
            return found
    return -1


def _name(head: bytes | bytearray) -> str:
    """The field's name from a part's head, which begins with the rest of the boundary's line."""
    padding, *lines = head.split(b"\r\n", 64)
    if padding.strip(b" \t"):
        raise MalformedRequest("a boundary in the multipart body does not end its line")
    for line in lines:
        header, _, value = line.partition(b":")
        if header.strip().lower() == b"content-disposition":
            return _parameter(value, b"name").decode("utf-8", "replace")
    return ""


def _parameter(value: bytes | bytearray, wanted: bytes) -> bytes:
    """One parameter of a header's value, such as `form-data; name="image"`; nothing if it is not there."""
    at = value.find(b";")
    while at >= 0 and (match := _PARAMETER.match(value, at)):
        name, quoted, plain = match.groups()
        if name.lower() == wanted:
            return re.sub(rb'\\(["\\])', rb"\1", quoted) if quoted is not None else plain
        at = match.end()
    return b""
