"""Owns requests of the Open Inference Protocol as these tests send them; does not test."""

import base64
import json
import struct
from typing import Any, NamedTuple

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.api.conftest import MODEL, Service, picture

URL = f"/v2/models/{MODEL}/infer"
RED, BLUE = picture((250, 0, 0)), picture((0, 0, 250), "JPEG")
SIDE, CLASSES = 32, 10
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def lengths(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in elements)


def images(*files: bytes, **more: Any) -> dict[str, Any]:
    return {
        "name": "image",
        "datatype": "BYTES",
        "shape": [len(files)],
        "data": [b64(each) for each in files],
        **more,
    }


def array(seed: int = 1, count: int = 2) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def normalised(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = ((pixels / 255 - MEAN) / STD).astype(np.float32)
    return values.transpose(0, 3, 1, 2)


async def infer(s: Service, *inputs: dict[str, Any], **more: Any) -> httpx.Response:
    return await s.client.post(URL, json={"inputs": list(inputs), **more})


async def infer_binary(s: Service, tensor: dict[str, Any], raw: bytes, **more: Any) -> httpx.Response:
    parameters = {"binary_data_size": len(raw), **tensor.get("parameters", {})}
    head = json.dumps({"inputs": [{**tensor, "parameters": parameters}], **more}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return await s.client.post(URL, content=head + raw, headers=headers)


class Read(NamedTuple):
    """An answer's JSON, and its outputs by name, wherever they stood."""

    document: dict[str, Any]
    outputs: dict[str, Any]


def read(answer: httpx.Response) -> Read:
    assert answer.status_code == 200, answer.text
    size = answer.headers.get("inference-header-content-length")
    at = len(answer.content) if size is None else int(size)
    document, outputs = json.loads(answer.content[:at]), {}
    for each in document["outputs"]:
        if (length := each.get("parameters", {}).get("binary_data_size")) is None:
            values: Any = np.array(each["data"])
        elif each["datatype"] == "FP32":
            values, at = np.frombuffer(answer.content[at : at + length], "<f4"), at + length
        else:
            values, end = [], at + length
            while at < end:
                (size_of_one,) = struct.unpack_from("<I", answer.content, at)
                values.append(answer.content[at + 4 : at + 4 + size_of_one].decode())
                at += 4 + size_of_one
            values = np.array(values)
        outputs[each["name"]] = values.reshape(each["shape"])
    assert at == len(answer.content)
    return Read(document, outputs)


async def classified(s: Service, image: bytes) -> list[float]:
    """The scores of all classes, in order, by our own contract."""
    answer = await s.client.post("/v1/classify", content=image, params={"top_k": CLASSES})
    return [each["score"] for each in sorted(answer.json()["predictions"], key=lambda each: each["index"])]
