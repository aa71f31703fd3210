"""Owns the work without a service around it, forward pass or decoding, one JSON line out; does not compare.

Run as `-m tests.benchmark.bare`. What the service would do is told by the same environment variables, VIT_ENGINE and
VIT_PRECISION among them.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.checkpoints.located import NOOP, RANDOM, locate
from app.domain import Candidate, PreprocessSpec
from app.engine.allowance import allowed_cores
from app.engine.choose import open_model
from app.engine.opened import Opened, Wish
from app.engine.rank import compiled, weights_of
from app.engine.runners.openvino import infer
from app.graphs.cache import Cache
from app.graphs.folder import GRAPHS_NAME, read_graphs
from app.imaging.price import DecodeLimits
from app.imaging.resample import preprocess
from app.package.variants import variant
from app.settings import Settings

_WARM: Final = 2  # batches before the clock runs

Batch = Callable[[], object]  # one batch, through to its logits


def wish_of(settings: Settings) -> Wish:
    """What the service would ask its engine for."""
    return Wish(
        *(settings.engine, settings.device, settings.precision, settings.threads or allowed_cores()),
        *(settings.max_batch_size, settings.cache_directory),
    )


def forward(model: str, seconds: float) -> dict[str, Any]:
    """Images per second of the network alone, by the engine, in the number format and largest batch of the service.

    Each way to share the cores is measured for as long: one lane with all of them, and as many lanes as are served.
    """
    wish = wish_of(Settings())
    opened = open_model(model, wish)
    spec, size, lanes = opened.description.preprocess, opened.max_batch_size, _lanes(opened)
    lane_of = _in_torch(model, opened, wish) if opened.engine == "torch" else _in_openvino(model, opened, wish)
    ways = sorted({1, lanes})
    rates = {
        f"{each} x {max(1, wish.cores // each)}": _images_per_s(
            lane_of(each, (size, spec.height, spec.width, 3)), size, seconds / len(ways)
        )
        for each in ways
    }
    return {
        "images_per_s": rates,
        "batch_size": size,
        "engine": opened.engine,
        "precision": opened.precision,
        "device": opened.device,
        "lanes": lanes,
        "cores": wish.cores,
        "forward_core_s": wish.cores / max(rates.values()),
    }


def _lanes(opened: Opened) -> int:
    spec = opened.description.preprocess
    return len(opened.runners(np.zeros((1, spec.height, spec.width, 3), np.uint8)))


def _in_openvino(model: str, opened: Opened, wish: Wish) -> Callable[[int, tuple[int, ...]], list[Batch]]:
    """How to make lanes of a graph that `open_model` has left in the cache, or that the package carries."""
    located, weights = locate(model), weights_of(opened.precision)
    carried = located.directory and located.directory / GRAPHS_NAME
    found = [Cache(wish.cache_directory).graphs(located.key)]
    found += [read_graphs(carried, located.key)] if carried and carried.is_dir() else []
    path = next(graphs.paths[weights] for graphs in found if graphs and weights in graphs.paths)

    def lanes(number: int, shape: tuple[int, ...]) -> list[Batch]:
        graph = compiled(path, Candidate("openvino", opened.precision, number), wish.cores)
        return [_batch_in_openvino(graph.request(), shape) for _ in range(number)]

    return lanes


def _batch_in_openvino(request: Any, shape: tuple[int, ...]) -> Batch:
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return lambda: infer(request, pictures)


def _in_torch(model: str, opened: Opened, wish: Wish) -> Callable[[int, tuple[int, ...]], list[Batch]]:
    import torch  # seconds, where it is not needed

    from tests.benchmark.bare_torch import as_served

    network, _, device, dtype = as_served(model, opened.device, opened.precision)

    def lanes(number: int, shape: tuple[int, ...]) -> list[Batch]:
        # The strides that decoded pixels have.
        pictures = torch.randn(shape).permute(0, 3, 1, 2).to(device, dtype)

        @torch.inference_mode()
        def batch() -> None:
            torch.set_num_threads(max(1, wish.cores // number))
            network(pictures).cpu()  # waits for a GPU, costs nothing on a CPU

        return [batch] * number

    return lanes


def _images_per_s(lanes: Sequence[Batch], size: int, seconds: float) -> float:
    start = threading.Barrier(len(lanes))

    def rate(batch: Batch) -> float:
        for _ in range(_WARM):
            batch()
        start.wait(60)
        started_at, batches = time.monotonic(), 0
        while (passed_s := time.monotonic() - started_at) < seconds:
            batch()
            batches += 1
        return batches * size / passed_s

    with ThreadPoolExecutor(len(lanes)) as pool:
        return sum(pool.map(rate, lanes))


def input_of(model: str) -> PreprocessSpec:
    """What the decoder makes of a photograph for a model of ours, without opening it."""
    kind, _, rest = model.partition(":")
    if model == NOOP:
        return PreprocessSpec()
    if kind == RANDOM:
        return PreprocessSpec(*variant(rest).img_size)
    description = locate(model).description
    assert description is not None
    return description.preprocess


def limits_of(settings: Settings) -> DecodeLimits:
    """How the service decodes."""
    exactness = settings.color == "convert", *(settings.decode == "scaled",) * 2
    return DecodeLimits(settings.max_pixels, settings.max_decode_bytes, *exactness)


def decode(model: str, folder: Path, seconds: float) -> dict[str, Any]:
    """From a JPEG to a model's input as the service does it, by number of threads: one, and one for each core."""
    bodies = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    spec, limits = input_of(model), limits_of(Settings())
    out: dict[str, Any] = {}
    for threads in (ways := sorted({1, allowed_cores()})):
        with ThreadPoolExecutor(threads) as pool:
            work = pool.map(lambda _: _decode_in_turn(bodies, spec, limits, seconds / len(ways)), range(threads))
            runs = list(work)
        out[str(threads)] = {
            "images_per_s": sum(images / passed_s for images, passed_s, _ in runs),
            "cpu_ms": 1000 * sum(cpu_s for *_, cpu_s in runs) / sum(images for images, *_ in runs),
        }
    return out


def _decode_in_turn(
    bodies: Sequence[bytes], spec: PreprocessSpec, limits: DecodeLimits, seconds: float
) -> tuple[int, float, float]:
    """Images, seconds as the clock sees them, CPU seconds."""
    out = np.empty((spec.height, spec.width, 3), dtype=np.uint8)
    for body in bodies:
        preprocess(body, spec, limits, out)
    started_at, cpu_at, images = time.monotonic(), time.thread_time(), 0
    while (passed_s := time.monotonic() - started_at) < seconds:
        preprocess(bodies[images % len(bodies)], spec, limits, out)
        images += 1
    return images, passed_s, time.thread_time() - cpu_at


def main() -> None:
    """`forward MODEL SECONDS` or `decode MODEL SECONDS FOLDER`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["forward", "decode"])
    parser.add_argument("model")
    parser.add_argument("seconds", type=float)
    parser.add_argument("folder", type=Path, nargs="?")
    args = parser.parse_args()
    if args.work == "forward":
        figures = forward(args.model, args.seconds)
    else:
        figures = decode(args.model, args.folder, args.seconds)
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
