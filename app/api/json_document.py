"""Owns JSON with megabytes of base64 in it, parsed without holding up other threads; does not know what it means."""

import json
from typing import Any, Final

from app.errors import MalformedRequest, TooManyImages

_LONG_CHARS: Final = 4096
_MAX_REST_BYTES: Final = 64 * 1024  # of a document less its long strings; three milliseconds at the worst
_MARK: Final = "\0long string "  # no text of a document can begin so: control characters must be escaped in JSON
_PIECE_BYTES: Final = 64 * 1024
_LONGEST_ESCAPE: Final = 6


class Document:
    """A parsed JSON document whose long strings were taken out, as bytes, before."""

    def __init__(self, value: Any, long_strings: list[memoryview]) -> None:
        self.value, self._long = value, long_strings

    def text(self, value: str) -> bytes | memoryview:
        """The bytes behind one of its strings. Raises MalformedRequest."""
        if value.startswith(_MARK):
            return _unescaped(self._long[int(value[len(_MARK) :])])
        return value.encode("utf-8", "surrogatepass")


def parse_json(body: bytes | bytearray, max_values: int) -> Document:
    """Parses a document of at most `max_values` values. Raises MalformedRequest or TooManyImages.

    Strings of over 4,096 bytes are found by their quotes, which takes a thousandth of parsing them. The parser lets
    no other thread run, so what is left must be short.
    """
    encoding = json.detect_encoding(bytes(body[:4]))
    if not encoding.startswith("utf-8"):  # Windows' UTF-16, where a quote is two bytes
        body = body.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    rest, long_strings = bytearray(), list[memoryview]()
    view, at = memoryview(body), 0
    while (quote := body.find(b'"', at)) >= 0:
        end = _end_of_string(body, quote + 1)
        if end - quote > _LONG_CHARS:
            rest += view[at:quote]
            rest += json.dumps(f"{_MARK}{len(long_strings)}").encode()
            long_strings.append(view[quote + 1 : end])
        else:
            rest += view[at : end + 1]
        at = end + 1
        if len(rest) > _MAX_REST_BYTES:
            break
    rest += view[at : at + _MAX_REST_BYTES + 1]
    # Before it is parsed: `{},` becomes twenty times its bytes of objects.
    if rest.count(b",") > max_values:
        raise TooManyImages("the JSON document holds more values than the images that a request may hold need")
    if len(rest) > _MAX_REST_BYTES:
        raise MalformedRequest(f"the JSON document has more than {_MAX_REST_BYTES} bytes beside its images")
    try:
        return Document(json.loads(rest), long_strings)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"the body is not valid JSON: {str(error)[:200]}") from error


def _end_of_string(body: bytes | bytearray, at: int) -> int:
    """Where the string that begins at `at` has its closing quote, or the document's end."""
    while (end := body.find(b'"', at)) >= 0:
        backslashes = 0
        while backslashes < 64 and body[end - 1 - backslashes] == 0x5C:
            backslashes += 1
        if backslashes % 2 == 0:
            return end
        at = end + 1
    return len(body)


def _unescaped(content: memoryview) -> bytes | memoryview:
    """A long string's bytes; .NET writes a plus as `\\u002B`, PHP a slash as `\\/`, and lines end with `\\n`."""
    if b"\\" not in (raw := bytes(content)):
        return content
    text, at = bytearray(), 0
    while at < len(raw):
        piece = raw[at : at + _PIECE_BYTES]
        cut = piece.rfind(b"\\", -_LONGEST_ESCAPE) if len(piece) == _PIECE_BYTES else -1
        piece = piece[:cut] if cut > 0 else piece  # not through an escape
        at += len(piece)
        try:
            text += json.loads(b'"%s"' % piece).encode("utf-8", "surrogatepass")
        except ValueError as error:
            raise MalformedRequest(f"a string of the JSON document is not valid: {str(error)[:200]}") from error
    return bytes(text)
