"""Owns the work without a service around it, forward pass or decoding, one JSON line out; does not compare.

Run as `-m tests.benchmark.bare`.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.checkpoints.sources import load_model
from app.domain import PreprocessSpec
from app.engine.allowance import allowed_cores
from app.engine.runners.device import choose_device, to_precision
from app.imaging.decode import DecodeLimits
from app.imaging.resample import preprocess
from app.network.fold import fold_normalisation
from app.network.vit import VisionTransformer
from app.settings import Settings


def as_served(model: str) -> tuple[VisionTransformer, PreprocessSpec, torch.device, torch.dtype]:
    """The network as the service computes it, by default on the device and in the format that it chooses."""
    settings, package = Settings(), load_model(model)
    device, spec = choose_device(settings.device), package.preprocess
    fold_normalisation(package.network, spec)
    network, dtype = to_precision(settings.precision, package.network, spec, device)
    return network, spec, device, dtype


def forward(model: str, seconds: float) -> dict[str, Any]:
    """Images per second of the network alone, in the service's number format and largest batch.

    Each way to share the cores is measured for half the time: one lane with all of them, and a lane for each.
    """
    settings = Settings()
    network, spec, device, dtype = as_served(model)
    cores = settings.threads or allowed_cores()
    on_cpu = device.type == "cpu"
    batch_size = settings.max_batch_size or (8 if on_cpu else 64)
    # The strides that decoded pixels have.
    pictures = torch.randn(batch_size, spec.height, spec.width, 3).permute(0, 3, 1, 2).to(device, dtype)
    ways = sorted({1, min(cores, 4) if on_cpu else 1})
    rates = {
        f"{lanes} x {max(1, cores // lanes)}": _images_per_s(network, pictures, lanes, cores, seconds / len(ways))
        for lanes in ways
    }
    return {"images_per_s": rates, "batch_size": batch_size, "precision": str(dtype), "device": str(device)}


def _images_per_s(network: nn.Module, pictures: Tensor, lanes: int, cores: int, seconds: float) -> float:
    rates: list[float] = []
    start = threading.Barrier(lanes)

    @torch.inference_mode()
    def lane() -> None:
        torch.set_num_threads(max(1, cores // lanes))
        for _ in range(2):
            network(pictures)
        start.wait(60)
        started_at, batches = time.monotonic(), 0
        while (passed_s := time.monotonic() - started_at) < seconds:
            network(pictures).cpu()  # waits for a GPU, costs nothing on a CPU
            batches += 1
        rates.append(batches * len(pictures) / passed_s)

    threads = [threading.Thread(target=lane) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def decode(folder: Path, seconds: float) -> dict[str, Any]:
    """From a JPEG to the 224 px input of a network, by number of threads: one, and one for each core."""
    bodies = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    ways = sorted({1, allowed_cores()})
    return {str(threads): _decode_on(threads, bodies, seconds / len(ways)) for threads in ways}


def _decode_on(threads: int, bodies: Sequence[bytes], seconds: float) -> dict[str, float]:
    with ThreadPoolExecutor(threads) as pool:
        runs = list(pool.map(lambda _: _decode_in_turn(bodies, seconds), range(threads)))
    return {
        "images_per_s": sum(images / passed_s for images, passed_s, _ in runs),
        "cpu_ms": 1000 * sum(cpu_s for *_, cpu_s in runs) / sum(images for images, *_ in runs),
    }


def _decode_in_turn(bodies: Sequence[bytes], seconds: float) -> tuple[int, float, float]:
    """Images, seconds as the clock sees them, CPU seconds."""
    spec, limits = PreprocessSpec(), DecodeLimits()
    out = np.empty((spec.height, spec.width, 3), dtype=np.uint8)
    for body in bodies:
        preprocess(body, spec, limits, out)
    started_at, cpu_at, images = time.monotonic(), time.thread_time(), 0
    while (passed_s := time.monotonic() - started_at) < seconds:
        preprocess(bodies[images % len(bodies)], spec, limits, out)
        images += 1
    return images, passed_s, time.thread_time() - cpu_at


def main() -> None:
    """`forward MODEL SECONDS` or `decode FOLDER SECONDS`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["forward", "decode"])
    parser.add_argument("what")
    parser.add_argument("seconds", type=float)
    args = parser.parse_args()
    figures = forward(args.what, args.seconds) if args.work == "forward" else decode(Path(args.what), args.seconds)
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
