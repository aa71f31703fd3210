"""Owns the split of a ModelInfer message into its tensors and the rest, which is parsed; does not know tensors.

The parser copies, and lets no other thread run; a message of millions of tiny fields takes it seconds.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from app.errors import MalformedRequest

_INPUTS, _RAW_INPUT_CONTENTS, _CONTENTS = 5, 7, 5  # the numbers of the fields that hold tensors
_LENGTH: Final = 2  # the wire type of what has its length before it
_MAX_FIELDS: Final = 5000  # five milliseconds; an image has one, beside ten of a request
_MAX_REST_BYTES: Final = 64 * 1024
_VARINT_BYTES: Final = 10


Fields = list[tuple[int, memoryview]]  # their numbers and values


class Split(NamedTuple):
    """A message in parts, views of it."""

    rest: bytes  # a smaller message, for the parser
    raw: list[memoryview]  # `raw_input_contents`
    contents: list[Fields]  # of each input, in order


def split(message: memoryview) -> Split:
    """Raises MalformedRequest for what is no message, or one of too many parts."""
    walk, rest = _Walk(), bytearray()
    raw, contents = list[memoryview](), list[Fields]()
    for number, whole, value in walk.fields(message):
        if number == _RAW_INPUT_CONTENTS:
            raw.append(value)
        elif number == _INPUTS:
            own, kept = Fields(), bytearray()
            for inner, inner_whole, inner_value in walk.fields(value):
                if inner == _CONTENTS:
                    own += [(field, data) for field, _, data in walk.fields(inner_value)]
                else:
                    kept += inner_whole
            contents.append(own)
            rest += bytes([_INPUTS << 3 | _LENGTH]) + _as_varint(len(kept)) + kept
        else:
            rest += whole
        if len(rest) > _MAX_REST_BYTES:
            raise MalformedRequest(f"the message has more than {_MAX_REST_BYTES} bytes beside its tensors")
    return Split(bytes(rest), raw, contents)


class _Walk:
    """Over the fields of a message and of those in it, all together no more than so many."""

    def __init__(self) -> None:
        self._left = _MAX_FIELDS

    def fields(self, data: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
        """Each field's number, all of it, and its value. Raises MalformedRequest."""
        at = 0
        while at < len(data):
            self._left -= 1
            if self._left < 0:
                raise MalformedRequest(f"the message has more than {_MAX_FIELDS} fields")
            tag, start = _varint(data, at)
            match tag & 7:
                case 0:  # a varint
                    end = _varint(data, start)[1]
                case 1:  # eight bytes
                    end = start + 8
                case 2:  # as many as a length says
                    size, start = _varint(data, start)
                    end = start + size
                case 5:  # four bytes
                    end = start + 4
                case _:
                    raise MalformedRequest("the message is not one of protocol buffers")
            if end > len(data):
                raise MalformedRequest("the message ends within a field")
            yield tag >> 3, data[at:end], data[start:end]
            at = end


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for index, byte in enumerate(data[at : at + _VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise MalformedRequest("the message ends within a number, or has one that is too long")


def _as_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
