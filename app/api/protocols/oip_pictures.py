"""Owns which input tensors the model takes, and how they become pictures; does not read bodies or decode pictures."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.api.answering import Images
from app.api.base64_text import image_from_text, looks_like_text
from app.api.envelopes import check_count
from app.api.protocols.oip_numbers import read_numbers
from app.api.protocols.oip_request import Input, Numbers
from app.classifier import Encoded, Picture
from app.domain import PreprocessSpec
from app.errors import MalformedRequest, RequestError
from app.imaging.decode import Pixels, signature

IMAGE: Final = "image"
PIXEL_VALUES: Final = "pixel_values"
PIXELS: Final = "pixels"
DATATYPES: Final = {IMAGE: "BYTES", PIXEL_VALUES: "FP32", PIXELS: "UINT8"}
_LENGTH_BYTES: Final = 4
_TOLERANCE: Final = 1.0  # of 255: what resizing in floats, or computing in half precision, adds


class Limits(NamedTuple):
    """What the model takes, and how much of it at once."""

    spec: PreprocessSpec
    max_images: int


def pictures_of(inputs: list[Input], limits: Limits) -> Images:
    """The images of a request, which may name any one of the inputs; several are there as several of one request.

    Raises MalformedRequest, EmptyBody or TooManyImages before anything is allocated; an image of several that is at
    fault is there as its error.
    """
    if len(inputs) != 1:
        names = ", ".join(repr(each.name[:40]) for each in inputs)
        raise MalformedRequest(f"the request has the inputs {names}; send one of {', '.join(DATATYPES)}")
    tensor = inputs[0]
    if (datatype := DATATYPES.get(tensor.name)) is None:
        raise MalformedRequest(f"there is no input {tensor.name[:40]!r}; there are {', '.join(DATATYPES)}")
    if tensor.datatype != datatype:
        raise MalformedRequest(f"the input {tensor.name!r} is {datatype}, not {tensor.datatype[:40]!r}")
    check_count(tensor.shape[0], limits.max_images)
    items: list[Picture | RequestError] = (
        list(_files(tensor)) if tensor.name == IMAGE else list(_pixels(tensor, limits.spec))
    )
    if len(items) == 1 and isinstance(items[0], RequestError):
        raise items[0]
    return Images(items, many=len(items) > 1)


def _files(tensor: Input) -> Iterator[Encoded | RequestError]:
    if tensor.shape[1:] not in ((), (1,)):
        raise MalformedRequest(f"the shape of {IMAGE!r} is {list(tensor.shape)}; it must be [n] or [n, 1]")
    data = tensor.data
    if isinstance(data, Numbers):
        raise MalformedRequest(f"the data of the input {IMAGE!r} must be strings, images in base64")
    count = tensor.shape[0]
    elements = list(islice(_elements(data), count + 1)) if isinstance(data, memoryview) else data
    if len(elements) != count:
        many = "more" if len(elements) > count else len(elements)
        raise MalformedRequest(f"the input {IMAGE!r} has {many} elements; its shape says {count}")
    for element in elements:
        try:
            encoded = element if isinstance(element, bytes | bytearray) else bytes(element)
            text = tensor.as_text or not signature(encoded) and looks_like_text(encoded)
            yield image_from_text(encoded) if text else encoded
        except RequestError as error:
            yield error


def _elements(data: memoryview) -> Iterator[memoryview]:
    """Of BYTES in binary: millions, of a byte each, if nobody stops. Raises MalformedRequest."""
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[start - _LENGTH_BYTES : start], "little")
        if start > len(data) or at > len(data):
            raise MalformedRequest("an element of BYTES is longer than its tensor; before each must be its length")
        yield data[start:at]


def _pixels(tensor: Input, spec: PreprocessSpec) -> Iterator[Pixels | RequestError]:
    """uint8 (height, width, 3) each."""
    rows_first, planes_first = (spec.height, spec.width, 3), (spec.channels, spec.height, spec.width)
    normalised = tensor.name == PIXEL_VALUES
    takes = [planes_first] if normalised else [rows_first, (3, *rows_first[:2])]
    if (shape := tensor.shape[1:]) not in takes:
        shapes = " or ".join(str(["n", *each]).replace("'", "") for each in takes)
        raise MalformedRequest(f"the shape of {tensor.name!r} is {list(tensor.shape)}; it must be {shapes}")
    for values in _values(tensor):
        if normalised:
            yield _denormalised(values, spec)
        else:
            yield np.ascontiguousarray(values if shape == rows_first else values.transpose(1, 2, 0))


def _values(tensor: Input) -> NDArray[Any]:
    dtype = np.dtype("<f4" if tensor.name == PIXEL_VALUES else "u1")
    count = int(np.prod(tensor.shape, dtype=np.int64))
    if isinstance(tensor.data, Numbers):
        return read_numbers(tensor.data.text, count, dtype).reshape(tensor.shape)
    assert isinstance(tensor.data, memoryview)
    if tensor.data.nbytes != count * dtype.itemsize:
        raise MalformedRequest(
            f"the input {tensor.name!r} has {tensor.data.nbytes} bytes; its shape says {count * dtype.itemsize}"
        )
    return np.frombuffer(tensor.data, dtype).reshape(tensor.shape)


def _denormalised(values: NDArray[Any], spec: PreprocessSpec) -> Pixels | RequestError:
    """The pixels that the network's own input (channels, height, width) was made of."""
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (spec.mean, spec.std))
    with np.errstate(all="ignore"):
        levels = (values * std + mean) * 255
    if not -_TOLERANCE <= levels.min() <= levels.max() <= 255 + _TOLERANCE:  # nor is anything with a NaN
        return MalformedRequest(
            f"{PIXEL_VALUES} must be finite and (pixel / 255 - mean) / std of pixels from 0 to 255, "
            f"with mean {list(spec.mean)} and std {list(spec.std)}"
        )
    pixels = np.rint(levels.clip(0, 255)).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(pixels if spec.channels == 3 else pixels.repeat(3, axis=2))
