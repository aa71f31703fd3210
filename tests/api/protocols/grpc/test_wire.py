from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.protocols.grpc.messages import read_message
from app.api.protocols.grpc.open_inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from app.api.protocols.grpc.wire import split
from app.errors import EmptyBody, MalformedRequest, RequestError

BIG = bytes(range(256)) * 400


def message(**more: Any) -> bytes:
    parameters = {"timeout": InferParameter(int64_param=7)}
    tensor = ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1], parameters=parameters)
    sent: bytes = ModelInferRequest(**{"model_name": "m", "inputs": [tensor], **more}).SerializeToString()
    return sent


def tensor(datatype: str, **contents: Any) -> ModelInferRequest.InferInputTensor:
    return ModelInferRequest.InferInputTensor(
        name="x", datatype=datatype, shape=[1], contents=InferTensorContents(**contents)
    )


def test_tensors_are_views_and_the_rest_is_the_message_without_them() -> None:
    sent = message(
        inputs=[tensor("BYTES", bytes_contents=[BIG, b""]), tensor("FP32")], id="i", raw_input_contents=[BIG]
    )
    rest, raw, contents = split(memoryview(sent))
    parsed = ModelInferRequest.FromString(rest)
    assert (parsed.model_name, parsed.id, [each.datatype for each in parsed.inputs]) == ("m", "i", ["BYTES", "FP32"])
    assert len(rest) < 100
    assert [bytes(each) for each in raw] == [BIG]
    assert [[(number, bytes(each)) for number, each in one] for one in contents] == [[(8, BIG), (8, b"")], []]
    assert raw[0].obj is sent  # no copy


@given(st.lists(st.integers(0, 255)))
def test_small_numbers_are_read_as_the_parser_reads_them(numbers: list[int]) -> None:
    _, asked = read_message(message(inputs=[tensor("UINT8", uint_contents=numbers)]))
    data = asked.inputs[0].data
    assert isinstance(data, memoryview)
    assert list(data) == numbers


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1).filter(lambda numbers: max(numbers) > 255))
def test_larger_numbers_are_refused(numbers: list[int]) -> None:
    with pytest.raises(MalformedRequest, match="over 255"):
        read_message(message(inputs=[tensor("UINT8", uint_contents=numbers)]))


def test_floats_that_are_not_packed_are_read_too() -> None:
    one_each = b"".join(b"\x35" + np.float32(each).tobytes() for each in (1.5, -2))
    contents = b"\x2a" + bytes([len(one_each)]) + one_each
    inside = b"\x0a\x01x\x12\x04FP32\x18\x02" + contents  # the shape is not packed either
    _, asked = read_message(b"\x2a" + bytes([len(inside)]) + inside)
    data = asked.inputs[0].data
    assert isinstance(data, memoryview)
    assert (asked.inputs[0].shape, np.frombuffer(data, "<f4").tolist()) == ((2,), [1.5, -2])


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (b"\xff" * 20, "a number"),
        (b"\x0a\x05abc", "within a field"),
        (b"\x0b", "not one of protocol buffers"),
        (b"\x0a\x02\xff\xff", "no ModelInferRequest"),
        (message(raw_input_contents=[b""] * 5001), "5000 fields"),
        (message(inputs=[tensor("BYTES", bytes_contents=[b""] * 5001)]), "5000 fields"),
        (message() + b"\x2a\x00" * 17, "more than 16 inputs"),
        (message(id="x" * 70_000), "65536 bytes beside its tensors"),
        (message(raw_input_contents=[b"a", b"b"]), "one element an input"),
        (message(inputs=[tensor("FP32", fp32_contents=[1])], raw_input_contents=[b"a"]), "one element an input"),
        (message(inputs=[tensor("FP32", fp64_contents=[1])]), "not in the field for it"),
        (message(inputs=[tensor("INT64", int64_contents=[1])]), "not in the field for it"),
        (message(parameters={"timeout": InferParameter(string_param="1")}), "whole microseconds"),
        (message(parameters={"timeout": InferParameter(double_param=1)}), "whole microseconds"),
    ],
)
def test_what_is_no_request(sent: bytes, cause: str) -> None:
    with pytest.raises(MalformedRequest, match=cause):
        read_message(sent)


def test_a_request_without_inputs_has_no_image() -> None:
    with pytest.raises(EmptyBody):
        read_message(b"")


@given(st.binary(max_size=200), st.integers(0, 100))
def test_no_bytes_meet_a_bug(garbage: bytes, at: int) -> None:
    for sent in (garbage, (whole := message(raw_input_contents=[b"abc"]))[:at] + garbage + whole[at + len(garbage) :]):
        try:
            read_message(sent)
        except RequestError as error:
            assert str(error)
