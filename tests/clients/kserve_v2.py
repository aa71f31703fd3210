"""Owns what a user of KServe's client does by the v2 protocol, for the environment that has it; prints JSON."""

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(model: str, tensor: InferInput, outputs: list[RequestedOutput] | None = None) -> InferRequest:
    return InferRequest(model_name=model, infer_inputs=[tensor], request_outputs=outputs, request_id="k-1")


async def infer(base: str, model: str, photo: bytes, arrays: Any) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    found: dict[str, Any] = {
        "live": await client.is_server_live(base),
        "ready": await client.is_server_ready(base),
        "model_ready": await client.is_model_ready(base, model),
    }
    inputs = {"image": InferInput("image", [1], "BYTES", [base64.b64encode(photo).decode()])}
    binary = inputs["image, binary=True"] = InferInput("image", [1], "BYTES")
    binary.set_data_from_numpy(np.array([photo], dtype=np.object_), binary_data=True)
    for name, datatype in (("pixels", "UINT8"), ("pixel_values", "FP32")):
        for as_binary in (True, False):
            tensor = InferInput(name, list(arrays[name].shape), datatype)
            tensor.set_data_from_numpy(arrays[name], binary_data=as_binary)
            inputs[f"{name}, binary={as_binary}"] = tensor
    for name, tensor in inputs.items():
        answer = await client.infer(base, request(model, tensor), model)
        found[name] = answer.get_output_by_name("probabilities").as_numpy().tolist()
    wanted = [RequestedOutput("probabilities", {"binary_data": True})]
    answer = await client.infer(base, request(model, inputs["image"], wanted), model)
    found["binary answer"] = answer.get_output_by_name("probabilities").as_numpy().tolist()
    answer = await client.infer(base, request(model, inputs["image"]).to_rest()[0], model)
    found["id"], found["of a dictionary"] = answer.id, answer.outputs[0].as_numpy().tolist()
    try:
        await client.infer(base, request(model, InferInput("images", [1], "BYTES", ["aGVsbG8="])), model)
    except httpx.HTTPStatusError as error:
        found["error"] = str(error)
    return found


def main(url: str, model: str, photo_path: str, arrays_path: str) -> None:
    """Everything against the server at `url`, host:port."""
    found = infer(f"http://{url}", model, Path(photo_path).read_bytes(), np.load(arrays_path))
    sys.stdout.write(json.dumps(asyncio.run(found)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
