"""Owns what a user of tritonclient does over HTTP, for the environment that has it; prints what came back as JSON."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException


def image(data: bytes, count: int = 1) -> http.InferInput:
    tensor = http.InferInput("image", [count, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[data]] * count, dtype=np.object_))
    return tensor


def pixels(name: str, data: np.ndarray, binary: bool) -> http.InferInput:
    tensor = http.InferInput(name, list(data.shape), {"pixels": "UINT8", "pixel_values": "FP32"}[name])
    tensor.set_data_from_numpy(data, binary_data=binary)
    return tensor


def tell(client: http.InferenceServerClient, model: str) -> dict[str, Any]:
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "version_ready": client.is_model_ready(model, "1"),
        "other_ready": client.is_model_ready("another"),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata(model),
        "config": client.get_model_config(model, "1"),
        "stats": client.get_inference_statistics(model),
        "every_stats": client.get_inference_statistics(),
    }


def infer(
    client: http.InferenceServerClient, model: str, photo: bytes, arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    every = client.infer(model, [image(photo)], request_id="a-1", timeout=20_000_000, priority=3)
    two = [http.InferRequestedOutput("probabilities", class_count=3), http.InferRequestedOutput("logits")]
    best = client.infer(model, [image(photo, 2)], model_version="1", outputs=two)
    as_json = http.InferRequestedOutput("probabilities", binary_data=False)
    found: dict[str, Any] = {
        "id": every.get_response()["id"],
        "all": every.as_numpy("probabilities").tolist(),
        "logits": best.as_numpy("logits").shape,
        "best": [[each.decode() for each in row] for row in best.as_numpy("probabilities")],
        "json": client.infer(model, [image(photo)], outputs=[as_json]).as_numpy("probabilities").tolist(),
    }
    for name, array in arrays.items():
        for binary in (True, False):
            answer = client.infer(model, [pixels(name, array, binary)], outputs=[as_json])
            found[f"{name}, {binary=}"] = answer.as_numpy("probabilities").tolist()
    for algorithm in ("gzip", "deflate"):
        answer = client.infer(
            *(model, [image(photo)]),
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        found[algorithm] = answer.as_numpy("probabilities").tolist()
    waiting = client.async_infer(model, [image(photo)])
    found["async"] = waiting.get_result().as_numpy("probabilities").tolist()
    return found


def errors(client: http.InferenceServerClient, model: str, photo: bytes) -> dict[str, Any]:
    """What the client says of mistakes: the status, and our sentence."""
    strange = http.InferInput("images", [1], "BYTES")
    strange.set_data_from_numpy(np.array([photo], dtype=np.object_))
    shared = http.InferInput("image", [1, 1], "BYTES")
    shared.set_shared_memory("region", 100)
    asked: dict[str, Callable[[], Any]] = {
        "unknown model": lambda: client.get_model_metadata("another"),
        "unknown version": lambda: client.infer(model, [image(photo)], model_version="7"),
        "unknown input": lambda: client.infer(model, [strange]),
        "unknown output": lambda: client.infer(model, [image(photo)], outputs=[http.InferRequestedOutput("scores")]),
        "no image": lambda: client.infer(model, [image(b"hello")]),
        "shared memory": lambda: client.infer(model, [shared]),
        "too many": lambda: client.infer(model, [image(b"", 1000)]),
    }
    told = {}
    for name, ask in asked.items():
        try:
            told[name] = [str(ask())]
        except InferenceServerException as error:
            told[name] = [error.status(), error.message()]
    return told


async def infer_async(url: str, model: str, photo: bytes) -> list[Any]:
    async with http_aio.InferenceServerClient(url) as client:
        assert await client.is_server_live() and await client.is_model_ready(model)
        answers = await asyncio.gather(*(client.infer(model, [image(photo)]) for _ in range(4)))
        return [answer.as_numpy("probabilities").tolist() for answer in answers]


def main(url: str, model: str, photo_path: str, arrays_path: str) -> None:
    """Everything against the server at `url`, host:port."""
    photo, arrays = Path(photo_path).read_bytes(), dict(np.load(arrays_path))
    client = http.InferenceServerClient(url)
    told = tell(client, model)
    found = infer(client, model, photo, arrays)
    said = errors(client, model, photo)
    sys.stdout.write(json.dumps({"told": told, "infer": found, "errors": said}) + "\n")
    sys.stdout.write(json.dumps(asyncio.run(infer_async(url, model, photo))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
