"""What is wrong with a request is said in one sentence, and nothing of it is a bug of ours."""

import json
import struct
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.protocols.oip_answer import wanted_outputs
from app.api.protocols.oip_pictures import Limits, pictures_of
from app.api.protocols.oip_request import Input, read_request
from app.domain import PreprocessSpec
from app.errors import RequestError
from tests.api.conftest import Service, service
from tests.api.protocols.oip import BLUE, RED, SIDE, URL, array, images, infer, infer_binary, lengths

PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, SIDE, SIDE, 3]}
VALUES = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, SIDE, SIDE]}
IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1]}


async def refused(answer: httpx.Response, cause: str, status: int = 400) -> None:
    assert answer.status_code == status, answer.text
    assert cause in answer.json()["error"], answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ([], "the body must be a JSON object"),
        ({}, "no inputs"),
        ({"inputs": {}}, "no inputs"),
        ({"inputs": "image"}, "inputs must be a list"),
        ({"inputs": [images(RED)] * 17}, "at most 16"),
        ({"inputs": [7]}, "each of inputs must be a JSON object"),
        ({"inputs": [images(RED), images(BLUE)]}, "send one of image, pixel_values, pixels"),
        ({"inputs": [images(RED)], "id": 7}, "id must be a string"),
        ({"inputs": [images(RED)], "id": "x" * 256}, "id is too long"),
        ({"inputs": [images(RED, data=[1] * 1000)]}, "must be strings"),
        ({"inputs": [images(RED)], "parameters": {"timeout": "a\n"}}, r"timeout is 'a\n'"),
        ({"inputs": [images(RED)], "parameters": []}, None),
        ({"inputs": [images(RED)], "parameters": [1]}, "parameters must be a JSON object"),
        ({"inputs": [images(RED)], "parameters": {"timeout": "1"}}, "whole microseconds"),
        ({"inputs": [images(RED)], "parameters": {"timeout": -1}}, "whole microseconds"),
        ({"inputs": [images(RED)], "parameters": {"timeout": True}}, "whole microseconds"),
        ({"inputs": [images(RED)], "parameters": {"binary_data_output": 1}}, "true or false"),
        ({"inputs": [images(RED)], "outputs": [{"name": "scores"}]}, "no output 'scores'"),
        ({"inputs": [images(RED)], "outputs": [{"name": "logits"}] * 2}, "asked for twice"),
        (
            {"inputs": [images(RED)], "outputs": [{"name": "logits", "parameters": {"classification": -1}}]},
            "whole number",
        ),
        (
            {"inputs": [images(RED)], "outputs": [{"name": "logits", "parameters": {"shared_memory_region": "a"}}]},
            "shared",
        ),
        ({"inputs": [images(RED, name=None)]}, "name must be a string"),
        ({"inputs": [images(RED, name="images")]}, "no input 'images'; there are image, pixel_values, pixels"),
        ({"inputs": [images(RED, datatype="FP32")]}, "the input 'image' is BYTES, not 'FP32'"),
        ({"inputs": [images(RED, shape=[])]}, "shape of 'image'"),
        ({"inputs": [images(RED, shape=[-1])]}, "shape of 'image'"),
        ({"inputs": [images(RED, shape=[True])]}, "shape of 'image'"),
        ({"inputs": [images(RED, shape="1")]}, "shape of 'image'"),
        ({"inputs": [images(RED, shape=[1] * 9)]}, "shape of 'image'"),
        ({"inputs": [images(RED, shape=[1, 2])]}, "must be [n] or [n, 1]"),
        ({"inputs": [images(RED, shape=[2])]}, "1 elements; its shape says 2"),
        ({"inputs": [images(shape=[0])]}, "no image"),
        ({"inputs": [images(RED, data=[7])]}, "must be strings"),
        ({"inputs": [images(RED, data="QUJD")]}, "must be a list"),
        ({"inputs": [images(RED, data=None)]}, "must be a list"),
        ({"inputs": [images(RED, parameters={"content_type": "np"})]}, "it may be 'base64'"),
        ({"inputs": [images(RED, parameters={"binary_data_size": 3})]}, "either data or a binary_data_size"),
        ({"inputs": [images(RED, parameters={"shared_memory_region": "a"})]}, "shared memory is not offered"),
        ({"inputs": [images(b"hello")]}, None),
        ({"inputs": [PIXELS | {"data": [1, 2]}]}, "fewer numbers"),
        ({"inputs": [PIXELS | {"data": array(count=2).tolist()}]}, "more numbers"),
        ({"inputs": [PIXELS | {"data": [0.5] * SIDE * SIDE * 3}]}, "not whole"),
        ({"inputs": [PIXELS | {"shape": [1, SIDE, SIDE, 4], "data": []}]}, "it must be [n, 32, 32, 3]"),
        ({"inputs": [VALUES | {"shape": [3, SIDE, SIDE], "data": []}]}, "it must be [n, 3, 32, 32]"),
        ({"inputs": [VALUES | {"shape": [1, SIDE, SIDE, 3], "data": []}]}, "it must be [n, 3, 32, 32]"),
        ({"inputs": [VALUES | {"data": ["a"]}]}, "fewer numbers"),
    ],
)
async def test_a_body_of_json_that_is_none_of_ours(body: Any, cause: str | None) -> None:
    async with service() as s:
        answer = await s.client.post(URL, json=body)
        if cause is None:
            assert answer.status_code in (200, 415)
        else:
            await refused(answer, cause)
        assert s.classifier.slots_in_use == 0


def binary(tensor: dict[str, Any], raw: bytes) -> Callable[[Service], Any]:
    return lambda s: infer_binary(s, tensor, raw)


def body(content: bytes, header: str | None) -> Callable[[Service], Any]:
    headers = {} if header is None else {b"Inference-Header-Content-Length": header.encode("latin-1")}
    return lambda s: s.client.post(URL, content=content, headers=headers)


@pytest.mark.parametrize(
    ("ask", "cause"),
    [
        (body(b"{", None), "not valid JSON"),
        (body(rb'{"inputs": [], "id": "\ud800"}', None), "surrogates not allowed"),
        (body(b"{}", "3"), "the body has 2 bytes"),
        (body(b"{}", "-1"), "must be a number of bytes"),
        (body(b"{}", "²"), "must be a number of bytes"),
        (body(b"{}abc", "2"), "no inputs"),
        (body(RED, None), "the body is an image and not JSON"),
        (body(RED, "5"), "the body is an image and not JSON"),
        (binary(IMAGE, lengths(RED, BLUE)), "more elements; its shape says 1"),
        (binary(IMAGE, lengths(RED)[:-1]), "longer than its tensor"),
        (binary(IMAGE, lengths(RED) + b"abc"), "longer than its tensor"),
        (binary(IMAGE, struct.pack("<I", 2**32 - 1)), "longer than its tensor"),
        (binary(IMAGE, b""), "0 elements"),
        (binary(PIXELS, bytes(3071)), "has 3071 bytes; its shape says 3072"),
        (binary(VALUES, bytes(3072)), "has 3072 bytes; its shape says 12288"),
        (binary(VALUES | {"shape": [32, 3, SIDE, SIDE]}, b""), "has 0 bytes"),
        (
            binary(PIXELS | {"parameters": {"binary_data_size": 4000}}, bytes(3072)),
            "is 4000; the body has 3072 bytes more",
        ),
        (binary(PIXELS | {"parameters": {"binary_data_size": 3000}}, bytes(3072)), "72 bytes of the body belong to no"),
        (binary(PIXELS | {"parameters": {"binary_data_size": -1}}, bytes(3072)), "either data or"),
    ],
)
async def test_a_binary_body_that_is_none(ask: Callable[[Service], Any], cause: str) -> None:
    async with service() as s:
        await refused(await ask(s), cause)


async def test_more_images_than_the_limit_are_refused_by_the_shape() -> None:
    async with service(max_images_per_request=2) as s:
        for tensor in (images(RED, shape=[3]), {**VALUES, "shape": [2**31 - 1, 3, SIDE, SIDE], "data": [1]}):
            answer = await infer(s, tensor)
            await refused(answer, "the limit is 2", 413)


def ask_of(content: bytes, header: int | None) -> None:
    """Without a server: what is raised for the body, if anything is."""
    request = read_request(bytearray(content), header, 2)
    wanted_outputs(request)
    pictures_of(request.inputs, Limits(PreprocessSpec(height=4, width=4), 2))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.just("binary_data_size"), inside),
    max_leaves=10,
)
INPUT = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["image", "pixels", "pixel_values"]) | JSON,
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32"]) | JSON,
        "shape": st.sampled_from([[1], [2, 1], [1, 4, 4, 3], [1, 3, 4, 4]]) | JSON,
    },
    optional={
        "data": st.sampled_from([["QUJD"], [1] * 48, [[0.5] * 24] * 2]) | JSON,
        "parameters": st.sampled_from([{"binary_data_size": 48}, {"content_type": "base64"}]) | JSON,
    },
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(INPUT, min_size=1, max_size=1) | JSON},
        optional={"outputs": st.lists(st.fixed_dictionaries({"name": JSON, "parameters": JSON})) | JSON, "id": JSON},
    ),
    st.binary() | st.just(bytes(48)),
)
def test_no_document_meets_a_bug(document: dict[str, Any], behind: bytes) -> None:
    head = json.dumps(document).encode()
    for header in (None, len(head)):
        try:
            ask_of(head + (b"" if header is None else behind), header)
        except RequestError as error:
            assert str(error)


def test_elements_beyond_those_of_the_shape_are_not_looked_at() -> None:
    raw = bytes(4) * 10**6  # each would take a view, forty times its size
    started_at = time.thread_time()
    with pytest.raises(RequestError, match="more elements"):
        pictures_of([Input("image", "BYTES", (1,), memoryview(raw))], Limits(PreprocessSpec(), 32))
    assert time.thread_time() - started_at < 0.05  # all of them: 0.5 s
