import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest

from app.api.protocols.oip_pictures import Limits, pictures_of
from app.api.protocols.oip_request import Input
from app.errors import RequestError
from app.package.preprocessing import preprocess_named
from tests.api.conftest import service
from tests.api.protocols.oip import (
    BLUE,
    RED,
    SIDE,
    URL,
    array,
    b64,
    classified,
    images,
    infer,
    infer_binary,
    lengths,
    normalised,
    read,
)

IMAGE = {"name": "image", "datatype": "BYTES"}


@pytest.mark.parametrize("shape", [[2], [2, 1]])
async def test_binary_images_are_answered_as_those_in_json(shape: list[int]) -> None:
    async with service() as s:
        expected = read(await infer(s, images(RED, BLUE))).outputs
        for sent in (lengths(RED, BLUE), lengths(b64(RED).encode(), BLUE)):
            found = read(await infer_binary(s, IMAGE | {"shape": shape}, sent)).outputs
            assert found["logits"].tolist() == pytest.approx(expected["logits"], abs=1e-6)
        as_text = IMAGE | {"shape": shape, "parameters": {"content_type": "base64"}}
        sent = lengths(*(b"\n" + b64(each).encode() for each in (RED, BLUE)))
        assert read(await infer_binary(s, as_text, sent)).outputs["logits"].shape == (2, 10)


@pytest.mark.parametrize("of_the_request", [True, False])
async def test_answers_are_binary_where_asked_for(of_the_request: bool) -> None:
    async with service() as s:
        plain = read(await infer(s, images(RED, BLUE))).outputs
        best = {"name": "probabilities", "parameters": {"classification": 2, "binary_data": True}}
        more = (
            {"parameters": {"binary_data_output": True}} if of_the_request else {"outputs": [best, {"name": "logits"}]}
        )
        answer = await infer(s, images(RED, BLUE), **more)
        assert answer.headers["content-type"] == "application/octet-stream"
        found = read(answer).outputs
        assert found["logits"] == pytest.approx(plain["logits"], abs=1e-6)
        if of_the_request:
            assert found["probabilities"] == pytest.approx(plain["probabilities"], abs=1e-6)
        else:
            assert found["probabilities"].shape == (2, 2)
            assert found["probabilities"][0, 0].endswith(f"class_{plain['probabilities'][0].argmax()}")


@pytest.mark.parametrize("binary", [True, False])
async def test_pixels_of_any_order_are_answered_alike(binary: bool) -> None:
    async with service() as s:
        pixels = array()
        tensors: list[tuple[str, str, Any]] = [
            ("pixels", "UINT8", pixels),
            ("pixels", "UINT8", pixels.transpose(0, 3, 1, 2)),
            ("pixel_values", "FP32", normalised(pixels)),
        ]
        expected = [await s.classifier.logits(each) for each in pixels]
        for name, datatype, values in tensors:
            tensor = {"name": name, "datatype": datatype, "shape": values.shape}
            if binary:
                answer = await infer_binary(s, tensor, values.tobytes())
            else:
                answer = await infer(s, tensor | {"data": values.tolist()})
                flat = await infer(s, tensor | {"data": values.ravel().tolist()})
                assert read(flat).outputs["logits"].tolist() == pytest.approx(read(answer).outputs["logits"], abs=1e-6)
            for row, logits in zip(read(answer).outputs["logits"], expected, strict=True):
                assert row == pytest.approx(logits.values, abs=1e-5)


async def test_a_body_may_be_an_image_as_it_is() -> None:
    async with service() as s:
        for body in (RED, b64(RED).encode()):
            answer = await s.client.post(URL, content=body, headers={"Inference-Header-Content-Length": "0"})
            assert read(answer).outputs["probabilities"][0] == pytest.approx(await classified(s, RED), abs=1e-6)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies_are_undone_and_bounded(encoding: str, compress: object) -> None:
    assert callable(compress)
    async with service(max_body_bytes=100_000) as s:
        head = json.dumps(
            {"inputs": [{**IMAGE, "shape": [1], "parameters": {"binary_data_size": len(RED) + 4}}]}
        ).encode()
        headers = {"Content-Encoding": encoding, "Inference-Header-Content-Length": str(len(head))}
        answer = await s.client.post(URL, content=compress(head + lengths(RED)), headers=headers)
        assert read(answer).outputs["probabilities"][0] == pytest.approx(await classified(s, RED), abs=1e-6)
        answer = await s.client.post(URL, content=compress(bytes(200_000)), headers=headers)
        assert answer.status_code == 413 and "error" in answer.json()


@pytest.mark.parametrize("preprocessing", ["timm-deit", "timm-augreg", "timm-miil", "clip"])
def test_every_pixel_comes_back_from_its_normalised_value(preprocessing: str) -> None:
    spec = preprocess_named(preprocessing, 16, 16)
    pixels = np.arange(16 * 16 * 3, dtype=np.uint32).astype(np.uint8).reshape(1, 16, 16, 3)
    for dtype in (np.float32, np.float16):  # computed in half precision, then sent in single
        values = ((pixels / 255 - spec.mean) / spec.std).astype(dtype).astype("<f4").transpose(0, 3, 1, 2)
        tensor = Input("pixel_values", "FP32", values.shape, memoryview(values.tobytes()))
        (found,) = pictures_of([tensor], Limits(spec, 1)).items
        assert isinstance(found, np.ndarray)
        assert np.array_equal(found, pixels[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3.4e38, 100.0, -3.0])
async def test_values_that_no_pixels_give_are_refused(value: float) -> None:
    async with service() as s:
        values = normalised(array())
        values[1, 2, 3, 4] = value
        tensor = {"name": "pixel_values", "datatype": "FP32", "shape": values.shape}
        answer = await infer_binary(s, tensor, values.tobytes())
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("image 1: pixel_values must be finite and (pixel / 255 - mean) / std")
        answer = await infer_binary(s, tensor | {"shape": [1, 3, SIDE, SIDE]}, values[1:].tobytes())
        assert answer.status_code == 400 and answer.json()["error"].startswith("pixel_values must be")


def test_a_network_of_one_channel_takes_one_plane() -> None:
    from dataclasses import replace

    spec = replace(preprocess_named("timm-augreg", 4, 4), mean=(0.5,), std=(0.5,))
    values = np.linspace(-1, 1, 16, dtype="<f4").reshape(1, 1, 4, 4)
    tensor = Input("pixel_values", "FP32", values.shape, memoryview(values.tobytes()))
    (found,) = pictures_of([tensor], Limits(spec, 1)).items
    assert not isinstance(found, RequestError | bytes | bytearray)
    assert found.shape == (4, 4, 3)
    assert (found[0, 0].tolist(), found[3, 3].tolist()) == ([0, 0, 0], [255, 255, 255])
