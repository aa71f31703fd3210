"""Owns the body of an Open Inference Protocol request, JSON and binary → its inputs; does not know what they show."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from app.api.json_document import Document, parse_json
from app.api.protocols.oip_numbers import take_numbers
from app.errors import EmptyBody, MalformedRequest

HEADER: Final = "inference-header-content-length"
_MAX_TENSORS: Final = 16  # of inputs, and of outputs
_MAX_DIMENSIONS: Final = 8
_MAX_TIMEOUT_US: Final = 10**12
_NO_SHARED_MEMORY: Final = "shared memory is not offered: send a tensor's data in the body"


class Numbers(NamedTuple):
    """A list of numbers as it stands in a JSON document."""

    text: memoryview


# As little-endian bytes, BYTES with four bytes of length before each; the elements of BYTES; or numbers.
Data = memoryview | Sequence[bytes | bytearray | memoryview] | Numbers


class Input(NamedTuple):
    """One input tensor; `as_text`: its elements of BYTES are base64."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Data
    as_text: bool = False


class Wanted(NamedTuple):
    """An output that is asked for; `classes`: that many best ones instead of the numbers, if not 0."""

    name: str
    classes: int = 0
    binary: bool = False


class InferRequest(NamedTuple):
    """No `outputs`: all there are, in binary if `binary`."""

    inputs: list[Input]
    outputs: list[Wanted]
    binary: bool = False
    id: str | None = None
    timeout_s: float | None = None


def json_bytes_of(header: str | None) -> int | None:
    """How many bytes of a body are JSON, by the header of the binary extension; None: all. Raises MalformedRequest."""
    if header is None:
        return None
    if not (header.isascii() and header.isdigit() and len(header) < 16):
        raise MalformedRequest(f"Inference-Header-Content-Length is {header[:40]!r}; it must be a number of bytes")
    return int(header)


def read_request(body: bytearray, json_bytes: int | None, max_images: int) -> InferRequest:
    """What a body of JSON, with binary tensors behind it or without, asks for.

    `json_bytes` 0: the body is an image as it is, Triton's raw request. Raises MalformedRequest, EmptyBody or
    TooManyImages.
    """
    if json_bytes == 0:
        return InferRequest([Input("image", "BYTES", (1,), [body])], [])
    if json_bytes is not None and json_bytes > len(body):
        raise MalformedRequest(f"Inference-Header-Content-Length is {json_bytes}; the body has {len(body)} bytes")
    text = body if json_bytes is None else body[:json_bytes]
    rest, numbers = take_numbers(text)
    document = parse_json(rest, max_images)
    value = _object(document.value, "the body")
    parameters = _parameters(value, "the request's")
    behind = _Behind(memoryview(body)[len(body) if json_bytes is None else json_bytes :])
    inputs = [_input(each, document, numbers, behind) for each in _objects(value, "inputs")]
    if not inputs:
        raise EmptyBody("the request has no inputs")
    behind.check_end()
    binary = _flag(parameters, "binary_data_output", False)
    return InferRequest(
        inputs,
        [_wanted(each, binary) for each in _objects(value, "outputs")],
        binary,
        _id(value, document),
        timeout_s_of(parameters.get("timeout")),
    )


def _id(value: dict[str, Any], document: Document) -> str | None:
    if document.is_long(value.get("id")):
        raise MalformedRequest("id is too long to be said again")
    return _text(value, "id", optional=True) or None


def timeout_s_of(timeout_us: Any) -> float | None:
    """The parameter `timeout`, microseconds, in seconds; None for none. Raises MalformedRequest."""
    if timeout_us is None:
        return None
    if type(timeout_us) is not int or not 0 <= timeout_us <= _MAX_TIMEOUT_US:
        raise MalformedRequest(f"the parameter timeout is {str(timeout_us)[:40]!r}; it must be whole microseconds")
    return timeout_us / 1e6 or None


def check_shape(shape: Any, name: str) -> tuple[int, ...]:
    """Raises MalformedRequest unless it is a short list of numbers that are not negative."""
    sizes = list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else []
    whole = all(type(size) is int and 0 <= size < 2**31 for size in sizes)
    if not (whole and 1 <= len(sizes) <= _MAX_DIMENSIONS):
        raise MalformedRequest(f"the shape of {name[:40]!r} must be a list of 1 to {_MAX_DIMENSIONS} whole numbers")
    return tuple(sizes)


def check_classes(classes: Any, name: str) -> int:
    """The parameter `classification` of an output; 0 for none. Raises MalformedRequest."""
    if type(classes) is not int or classes < 0:
        raise MalformedRequest(f"the parameter classification of {name[:40]!r} must be a whole number of classes")
    return classes


class _Behind:
    """The binary tensors behind the JSON, in the order of the inputs."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._at = view, 0

    def take(self, size: int, name: str) -> memoryview:
        if size > len(self._view) - self._at:
            left = len(self._view) - self._at
            raise MalformedRequest(
                f"binary_data_size of {name[:40]!r} is {str(size)[:40]}; the body has {left} bytes more"
            )
        self._at += size
        return self._view[self._at - size : self._at]

    def check_end(self) -> None:
        if self._at < len(self._view):
            raise MalformedRequest(f"{len(self._view) - self._at} bytes of the body belong to no input")


def _input(value: dict[str, Any], document: Document, numbers: dict[str, memoryview], behind: _Behind) -> Input:
    name, datatype = _text(value, "name"), _text(value, "datatype")
    parameters = _parameters(value, f"the input {name[:40]!r}'s")
    check_memory(parameters)
    size, data = parameters.get("binary_data_size"), value.get("data")
    shape = check_shape(value.get("shape"), name)
    content_type = parameters.get("content_type")
    if size is not None:
        if type(size) is not int or size < 0 or data is not None:
            raise MalformedRequest(f"the input {name[:40]!r} needs either data or a binary_data_size, a whole number")
        return Input(name, datatype, shape, behind.take(size, name), is_base64(content_type, name))
    if isinstance(data, str) and data in numbers:
        return Input(name, datatype, shape, Numbers(numbers[data]))
    if not isinstance(data, list):
        raise MalformedRequest(f"the data of the input {name[:40]!r} must be a list")
    if datatype != "BYTES":
        return Input(name, datatype, shape, Numbers(memoryview(json.dumps(data).encode())))
    is_base64(content_type, name)
    return Input(name, datatype, shape, [document.text(each) for each in _strings(data, name)], as_text=True)


def _strings(data: list[Any], name: str) -> list[str]:
    """Of shape [n], or of shape [n, 1] as rows of one."""
    flat = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]
    if not all(isinstance(each, str) for each in flat):
        raise MalformedRequest(f"the data of the input {name[:40]!r} must be strings, images in base64")
    return flat


def is_base64(content_type: Any, name: str) -> bool:
    """By MLServer's parameter; what is an image its bytes tell by themselves. Raises MalformedRequest."""
    if content_type is None:
        return False
    if content_type == "base64":
        return True
    if not isinstance(content_type, str) or not content_type.startswith(("image/", "application/octet-stream")):
        raise MalformedRequest(f"content_type of {name[:40]!r} is {str(content_type)[:40]!r}; it may be 'base64'")
    return False


def _wanted(value: dict[str, Any], binary: bool) -> Wanted:
    name = _text(value, "name")
    parameters = _parameters(value, f"the output {name[:40]!r}'s")
    check_memory(parameters)
    classes = check_classes(parameters.get("classification", 0), name)
    return Wanted(name, classes, _flag(parameters, "binary_data", binary))


def check_memory(parameters: dict[str, Any]) -> None:
    """Raises MalformedRequest if a tensor is said to lie in shared memory."""
    if "shared_memory_region" in parameters:
        raise MalformedRequest(_NO_SHARED_MEMORY)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedRequest(f"{what} must be a JSON object")
    return value


def _objects(value: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = value.get(key) or []
    if not isinstance(found, list) or len(found) > _MAX_TENSORS:
        raise MalformedRequest(f"{key} must be a list of at most {_MAX_TENSORS} objects")
    return [_object(each, f"each of {key}") for each in found]


def _parameters(value: dict[str, Any], whose: str) -> dict[str, Any]:
    return _object(value.get("parameters") or {}, f"{whose} parameters")


def _text(value: dict[str, Any], key: str, optional: bool = False) -> str:
    found = value.get(key)
    if found is None and optional:
        return ""
    if not isinstance(found, str):
        raise MalformedRequest(f"{key} must be a string")
    return found


def _flag(parameters: dict[str, Any], key: str, default: bool) -> bool:
    found = parameters.get(key, default)
    if not isinstance(found, bool):
        raise MalformedRequest(f"the parameter {key} must be true or false")
    return found
