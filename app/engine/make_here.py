"""Owns the child process that makes graphs and measures torch; does not know who started it."""

import copy
import json
import sys
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from app.checkpoints.own import NetworkPackage
from app.checkpoints.sources import load_servable
from app.domain import Candidate
from app.engine.make import Order
from app.engine.measure import images_per_second
from app.engine.runners.torch import TorchRunner, TorchRunnerConfig
from app.errors import VitServeError
from app.graphs.agreement import disagreement
from app.graphs.build import write_graphs
from app.graphs.export import logits_of
from app.graphs.folder import Logits, Pixels, write_description
from app.graphs.probes import probes
from app.network.fold import fold_normalisation
from app.network.library import refusal

_BUDGET_S: Final = 2.0  # after which no further number format is measured


def make_here(order: Order) -> list[Candidate]:
    """Raises ExportFailed, OSError and what `load_servable` raises."""
    package = load_servable(order.model)
    pictures = probes(package.preprocess)
    if order.directory:
        directory = Path(order.directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_description(directory, package.description(), sum(p.numel() for p in package.network.parameters()))
        expected = write_graphs(package, order.key, directory)
    else:
        fold_normalisation(package.network, package.preprocess)
        expected = logits_of(package.network, pictures)
    until = time.monotonic() + _BUDGET_S
    return [_measure(package, precision, pictures, expected, order, until) for precision in order.precisions]


def _measure(
    package: NetworkPackage, precision: str, pictures: Pixels, expected: Logits, order: Order, until: float
) -> Candidate:
    """How fast torch is in a number format, and whether its answers are those of float32."""
    candidate = Candidate("torch", precision, order.lanes)
    if time.monotonic() > until:
        return replace(candidate, why_not="not measured, there was no time left")
    dtype = getattr(torch, precision)
    network = package.network
    if dtype != torch.float32:
        network = copy.deepcopy(network).to(dtype)
        if why_not := refusal(network, package.preprocess.height, package.preprocess.width):
            return replace(candidate, why_not=why_not)
        why_not = disagreement(expected, logits_of(network, pictures), package.scoring)
        if why_not and order.strict:
            return replace(candidate, why_not=why_not)
    device = torch.device("cpu")
    config = TorchRunnerConfig(device, dtype, order.max_batch_size, order.cores, order.lanes, package.scoring)
    runners = [TorchRunner(network, pictures, config) for _ in range(order.lanes)]
    return replace(candidate, images_per_s=round(images_per_second(runners, order.seconds), 1))


def _main() -> int:
    document = json.load(sys.stdin)
    order = Order(**{**document, "precisions": tuple(document["precisions"])})
    torch.set_num_threads(order.cores)
    try:
        answer: dict[str, Any] = {"candidates": [asdict(each) for each in make_here(order)]}
    except VitServeError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except OSError as error:
        answer = {"error": OSError.__name__, "message": f"the graphs cannot be written: {error.strerror or error}"}
    except Exception as error:
        traceback.print_exc()
        answer = {"error": "ExportFailed", "message": f"{type(error).__name__}: {error}"}
    sys.stdout.write("\n" + json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
