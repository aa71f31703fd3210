"""Owns what a user of tritonclient does over gRPC, for the environment that has it; prints what came back as JSON."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException


def tensor(name: str, data: Any) -> triton.InferInput:
    kind = {"image": "BYTES", "pixels": "UINT8", "pixel_values": "FP32"}.get(name, "BYTES")
    made = triton.InferInput(name, list(data.shape), kind)
    made.set_data_from_numpy(data)
    return made


def image(data: bytes, name: str = "image") -> triton.InferInput:
    return tensor(name, np.array([[data]], dtype=np.object_))


def infer(client: triton.InferenceServerClient, model: str, photo: bytes, arrays: Any) -> dict[str, Any]:
    every = client.infer(model, [image(photo)], request_id="t-1", timeout=20_000_000, priority=3, client_timeout=30)
    best = [triton.InferRequestedOutput("probabilities", class_count=3)]
    found = {
        "id": every.get_response().id,
        "best": [
            each.decode() for each in client.infer(model, [image(photo)], outputs=best).as_numpy("probabilities")[0]
        ],
        "all": every.as_numpy("probabilities").tolist(),
        "gzip": client.infer(model, [image(photo)], compression_algorithm="gzip").as_numpy("probabilities").tolist(),
    }
    for name in arrays:
        found[name] = client.infer(model, [tensor(name, arrays[name])], "1").as_numpy("probabilities").tolist()
    return found


def errors(client: triton.InferenceServerClient, model: str, photo: bytes) -> dict[str, Any]:
    told = {}
    asked = {
        "unknown model": lambda: client.get_model_metadata("another"),
        "unknown input": lambda: client.infer(model, [image(photo, "images")]),
        "no image": lambda: client.infer(model, [image(b"hello")]),
        "not there": lambda: client.get_model_config(model),
    }
    for name, ask in asked.items():
        try:
            told[name] = [str(ask())]
        except InferenceServerException as error:
            told[name] = [error.status(), error.message()]
    return told


async def infer_async(url: str, model: str, photo: bytes) -> list[Any]:
    async with triton_aio.InferenceServerClient(url) as client:
        answers = await asyncio.gather(*(client.infer(model, [image(photo)]) for _ in range(4)))
        return [answer.as_numpy("probabilities").tolist() for answer in answers]


def main(url: str, model: str, photo_path: str, arrays_path: str) -> None:
    """Everything against the server at `url`, host:port."""
    photo = Path(photo_path).read_bytes()
    client = triton.InferenceServerClient(url)
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata(model, as_json=True),
    }
    document = {
        "told": told,
        "infer": infer(client, model, photo, np.load(arrays_path)),
        "errors": errors(client, model, photo),
        "async": asyncio.run(infer_async(url, model, photo)),
    }
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
