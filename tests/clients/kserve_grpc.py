"""Owns what a user of KServe's client does by the v2 protocol over gRPC, where it is installed; prints JSON."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def infer(url: str, model: str, photo: bytes, arrays: Any) -> dict[str, Any]:
    client = InferenceGRPCClient(url)
    found: dict[str, Any] = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model_ready": await client.is_model_ready(model),
    }
    inputs = {"image": InferInput("image", [1], "BYTES", [photo])}
    for name, datatype in (("pixels", "UINT8"), ("pixel_values", "FP32")):
        for binary in (True, False):
            tensor = inputs[f"{name}, {binary=}"] = InferInput(name, list(arrays[name].shape), datatype)
            tensor.set_data_from_numpy(arrays[name], binary_data=binary)
    for name, tensor in inputs.items():
        answer = await client.infer(InferRequest(model_name=model, infer_inputs=[tensor], request_id="g-1"), timeout=30)
        found[name] = answer.get_output_by_name("probabilities").as_numpy().tolist()
    found["id"] = answer.id
    try:
        await client.infer(InferRequest(model_name=model, infer_inputs=[InferInput("x", [1], "BYTES", [photo])]))
    except grpc.RpcError as error:
        found["error"] = [error.code().name, error.details()]
    return found


def main(url: str, model: str, photo_path: str, arrays_path: str) -> None:
    """Everything against the server at `url`, host:port."""
    found = infer(url, model, Path(photo_path).read_bytes(), np.load(arrays_path))
    sys.stdout.write(json.dumps(asyncio.run(found)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
