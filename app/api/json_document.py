"""Owns JSON with megabytes of base64 in it, parsed without holding up other threads; does not know what it means."""

import json
import secrets
from collections.abc import Iterator
from typing import Any, Final

from app.errors import MalformedRequest, TooManyImages

_LONG_CHARS: Final = 256
_MAX_REST_BYTES: Final = 64 * 1024  # of a document less its long strings; three milliseconds at the worst
_REST_OF_AN_IMAGE: Final = 2 * _LONG_CHARS  # what one adds to that: a short string, or the mark of a long one
_MAX_QUOTES: Final = 1000  # strings and escaped quotes, beside those of images; each takes a microsecond
_QUOTES_OF_AN_IMAGE: Final = 8  # two of its own, and names
_PIECE_BYTES: Final = 64 * 1024
_LONGEST_ESCAPE: Final = 6
_MAX_BACKSLASHES: Final = 64
_BACKSLASH: Final = 0x5C


class _TooMuch(Exception):
    """The document has more strings, or quotes in them, than images need."""


class Document:
    """A parsed JSON document whose long strings were taken out, as bytes, before; marks stand in their places."""

    def __init__(self, value: Any, long_strings: dict[str, memoryview]) -> None:
        self.value, self._long = value, long_strings

    def is_long(self, value: Any) -> bool:
        """Whether it is a mark: such a string can be an image, and nothing that is read as it stands."""
        return isinstance(value, str) and value in self._long

    def text(self, value: str) -> bytes | memoryview:
        """The bytes behind one of its strings. Raises MalformedRequest."""
        long = self._long.get(value)
        return value.encode("utf-8", "surrogatepass") if long is None else _unescaped(long)


def parse_json(body: bytes | bytearray, max_images: int) -> Document:
    """Parses a document with at most `max_images` images. Raises MalformedRequest or TooManyImages.

    Strings of over 256 bytes are found by their quotes, which takes a thousandth of parsing them. The parser lets
    no other thread run, so what is left must be short.
    """
    try:
        body = _in_utf8(body)
        mark = secrets.token_hex(8)  # nobody can write a string that passes for a mark
        rest, long_strings = bytearray(), dict[str, memoryview]()
        most, at = _MAX_REST_BYTES + _REST_OF_AN_IMAGE * max_images, 0
        view, quotes = memoryview(body), iter(range(_MAX_QUOTES + _QUOTES_OF_AN_IMAGE * max_images))
        while len(rest) <= most and (quote := body.find(b'"', at)) >= 0:
            end = _end_of_string(body, quote + 1, quotes)
            if end - quote > _LONG_CHARS:
                name = f"{mark}{len(long_strings)}"
                long_strings[name] = view[quote + 1 : end]
                rest += b'%s"%s"' % (view[at:quote], name.encode())
            else:
                rest += view[at : end + 1]
            at = end + 1
        rest += view[at : at + most + 1]
        if len(rest) <= most:
            value = json.loads(rest)
            if b"\\" in rest or not rest.isascii():
                json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate could not be said again in an answer
            return Document(value, long_strings)
    except _TooMuch:
        pass
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"the body is not valid JSON: {str(error)[:200]}") from error
    if b'"images"' in rest:
        raise TooManyImages(f"the JSON document is longer than {max_images} images, the limit, need")
    raise MalformedRequest(f"the JSON document has more than {most} bytes, or too many strings, beside its images")


def _in_utf8(body: bytes | bytearray) -> bytes | bytearray:
    """Windows' UTF-16, where a quote is two bytes, as UTF-8. Raises ValueError."""
    encoding = json.detect_encoding(bytes(body[:4]))
    if encoding.startswith("utf-8"):
        return body
    return body.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")


def _end_of_string(body: bytes | bytearray, at: int, quotes: Iterator[int]) -> int:
    """Where the string that begins at `at` has its closing quote, or the document's end. Raises ValueError or _TooMuch.

    `quotes`: as many as may still be looked at.
    """
    for _ in quotes:
        end = body.find(b'"', at)
        if end < 0:
            return len(body)
        start = end
        while body[start - 1] == _BACKSLASH:
            start -= 1
            if end - start > _MAX_BACKSLASHES:
                raise ValueError(f"a string has more than {_MAX_BACKSLASHES} backslashes in a row")
        if (end - start) % 2 == 0:
            return end
        at = end + 1
    raise _TooMuch


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
