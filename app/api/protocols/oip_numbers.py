"""Owns long lists of numbers in JSON, read in pieces between which others run; does not know what they mean."""

import json
import secrets
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from app.errors import MalformedRequest

_LONG_BYTES: Final = 1024
_MAX_LISTS: Final = 1000  # looked at, short ones too; a request has three an input
_PIECE_BYTES: Final = 16 * 1024  # two thousand numbers, a quarter of a millisecond
_BRACKETS: Final = bytes.maketrans(b"[]", b"  ")  # rows in rows or one row: the shape says what it is


def take_numbers(body: bytes | bytearray) -> tuple[bytes | bytearray, dict[str, memoryview]]:
    """A document whose long lists of numbers are strings, and each such string → the list's text.

    The parser of JSON lets no other thread run, so that what it gets must be short. Raises MalformedRequest.
    """
    numbers, rest, mark = dict[str, memoryview](), bytearray(), secrets.token_hex(8)
    view, kept, at = memoryview(body), 0, 0
    for _ in range(_MAX_LISTS):
        if (start := body.find(b"[", at)) < 0:
            break
        quote = body.find(b'"', start)
        at = len(body) if quote < 0 else quote
        if at - start <= _LONG_BYTES:
            continue
        braces = [found for brace in (b"{", b"}") if (found := body.find(brace, start, at)) >= 0]
        end = body.rfind(b"]", start, min([at, *braces])) + 1
        if end - start > _LONG_BYTES:
            name = f"{mark}-{len(numbers)}"
            numbers[name] = view[start:end]
            rest += b'%s"%s"' % (view[kept:start], name.encode())
            kept = end
    else:
        raise MalformedRequest(f"the JSON document has more than {_MAX_LISTS} lists")
    if not numbers:
        return body, numbers
    return rest + view[kept:], numbers


def read_numbers(text: memoryview, count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Exactly `count` numbers of a list's text, flat. Raises MalformedRequest unless each is one that `dtype` holds."""
    if count > len(text):  # before memory is taken for them
        raise MalformedRequest(f"a tensor's data has fewer numbers than the {count} of its shape")
    values, filled, at = np.empty(count, dtype), 0, 0
    while at < len(text):
        piece = bytes(text[at : at + _PIECE_BYTES])
        cut = piece.rfind(b",") if at + len(piece) < len(text) else len(piece)
        if cut < 0:
            raise MalformedRequest(f"a number in a tensor's data is longer than {_PIECE_BYTES} bytes")
        read = _read(piece[:cut], values.dtype)
        if filled + len(read) > count:
            raise MalformedRequest(f"a tensor's data has more numbers than the {count} of its shape")
        values[filled : filled + len(read)] = read
        filled, at = filled + len(read), at + cut + 1
    if filled < count:
        raise MalformedRequest(f"a tensor's data has {filled} numbers; its shape says {count}")
    return values


def _read(piece: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        numbers = json.loads(b"[%s]" % piece.translate(_BRACKETS))
        if not all(type(number) in (int, float) for number in numbers):
            raise ValueError("there is more than numbers in it")
        if dtype.kind == "u" and not all(type(number) is int for number in numbers):
            raise ValueError("there are numbers that are not whole")
        with np.errstate(over="ignore"):
            return np.array(numbers, dtype)
    except (ValueError, OverflowError, RecursionError) as error:
        raise MalformedRequest(f"a tensor's data cannot be read as {dtype}: {str(error)[:200]}") from error
