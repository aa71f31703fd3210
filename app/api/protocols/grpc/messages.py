"""Owns what the messages of ModelInfer say, as the protocol's REST form has it too; does not answer."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from app.api.protocols.grpc.open_inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse
from app.api.protocols.grpc.wire import Fields, split
from app.api.protocols.names import VERSION
from app.api.protocols.oip_answer import Output
from app.api.protocols.oip_request import (
    Data,
    InferRequest,
    Input,
    Wanted,
    check_classes,
    check_memory,
    check_shape,
    is_base64,
    timeout_s_of,
)
from app.errors import EmptyBody, MalformedRequest

_MAX_TENSORS: Final = 16
_UINTS, _FLOATS, _BYTES = 4, 6, 8  # the numbers of the fields of InferTensorContents that our inputs have
_FIELDS: Final = {"UINT8": _UINTS, "FP32": _FLOATS, "BYTES": _BYTES}


def read_message(message: bytes) -> tuple[ModelInferRequest, InferRequest]:
    """What a ModelInferRequest asks for; whose tensors are `raw_input_contents` is answered by such.

    Of the message itself, the first, only what is no tensor is there. Raises MalformedRequest or EmptyBody.
    """
    rest, raw, contents = split(memoryview(message))
    try:
        parsed = ModelInferRequest.FromString(rest)
    except DecodeError as error:
        raise MalformedRequest(f"the message is no ModelInferRequest: {error}") from error
    if not parsed.inputs:
        raise EmptyBody("the request has no inputs")
    if max(len(parsed.inputs), len(parsed.outputs)) > _MAX_TENSORS:
        raise MalformedRequest(f"the request has more than {_MAX_TENSORS} inputs or outputs")
    if raw and (len(raw) != len(parsed.inputs) or any(contents)):
        raise MalformedRequest("raw_input_contents must have one element an input, and the inputs no contents")
    inputs = []
    for index, each in enumerate(parsed.inputs):
        parameters = _parameters(each.parameters)
        check_memory(parameters)
        data = raw[index] if raw else _data(contents[index], each.datatype)
        as_text = is_base64(parameters.get("content_type"), each.name)
        inputs.append(Input(each.name, each.datatype, check_shape(list(each.shape), each.name), data, as_text))
    timeout_s = timeout_s_of(_parameters(parsed.parameters).get("timeout"))
    wanted = [_wanted(each.name, _parameters(each.parameters), bool(raw)) for each in parsed.outputs]
    return parsed, InferRequest(inputs, wanted, bool(raw), parsed.id, timeout_s)


def write_message(name: str, id_: str, outputs: Sequence[Output]) -> bytes:
    """A ModelInferResponse."""
    response = ModelInferResponse(model_name=name, model_version=VERSION, id=id_)
    for output in outputs:
        tensor = response.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if output.binary:
            response.raw_output_contents.append(output.raw())
        elif isinstance(output.data, list):
            tensor.contents.bytes_contents.extend(output.data)
        else:
            tensor.contents.fp32_contents.extend(output.data.ravel().tolist())
    message: bytes = response.SerializeToString()
    return message


def _wanted(name: str, parameters: dict[str, Any], binary: bool) -> Wanted:
    check_memory(parameters)
    return Wanted(name, check_classes(parameters.get("classification", 0), name), binary)


def _parameters(parameters: Mapping[str, InferParameter]) -> dict[str, Any]:
    return {key: getattr(each, each.WhichOneof("parameter_choice") or "", None) for key, each in parameters.items()}


def _data(contents: Fields, datatype: str) -> Data:
    """What stands in the field that the datatype's elements have. Raises MalformedRequest."""
    if any(number != _FIELDS.get(datatype) for number, _ in contents):
        raise MalformedRequest(f"the contents of an input of {datatype[:40]!r} are not in the field for it")
    views = [view for _, view in contents]
    if datatype == "BYTES":
        return views
    packed = views[0] if len(views) == 1 else memoryview(b"".join(views))
    return memoryview(_small_numbers(packed).tobytes()) if datatype == "UINT8" else packed


def _small_numbers(packed: memoryview) -> NDArray[np.uint8]:
    """Numbers of 0 … 255 out of varints: those from 128 on have a second byte, which is 1. Raises MalformedRequest."""
    data = np.frombuffer(packed, np.uint8)
    second = np.zeros(len(data) + 1, bool)
    second[1:] = data >= 128
    if second[-1] or not (data[second[:-1]] == 1).all():
        raise MalformedRequest("a tensor of UINT8 has a number over 255")
    return data[~second[:-1]]
