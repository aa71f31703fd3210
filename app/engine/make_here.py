"""Owns the child process that makes graphs and measures torch; does not know who started it."""

import copy
import json
import sys
import traceback
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from app.checkpoints.own import ModelPackage
from app.checkpoints.sources import load_model
from app.domain import Candidate
from app.engine.make import Order
from app.engine.measure import images_per_second
from app.engine.runners.torch import TorchRunner, TorchRunnerConfig
from app.errors import VitServeError
from app.graphs.agreement import disagreement
from app.graphs.build import write_graphs
from app.graphs.export import logits_of
from app.graphs.folder import write_description
from app.graphs.probes import probes
from app.network.fold import fold_normalisation
from app.package.description import PackageDescription


def make_here(order: Order) -> list[Candidate]:
    """Raises ExportFailed, OSError and what `load_model` raises."""
    package = load_model(order.model)
    if order.directory:
        directory = Path(order.directory)
        description = PackageDescription(**{f.name: getattr(package, f.name) for f in fields(PackageDescription)})
        directory.mkdir(parents=True, exist_ok=True)
        write_description(directory, description, sum(p.numel() for p in package.network.parameters()))
        write_graphs(package, order.key, directory)
    else:
        fold_normalisation(package.network, package.preprocess)
    return [_measure(package, precision, order) for precision in order.precisions]


def _measure(package: ModelPackage, precision: str, order: Order) -> Candidate:
    """How fast torch is in a number format, and whether its answers are those of float32."""
    dtype = getattr(torch, precision)
    network = package.network if dtype == torch.float32 else copy.deepcopy(package.network).to(dtype)
    pictures = probes(package.preprocess)
    config = TorchRunnerConfig(
        torch.device("cpu"), dtype, order.max_batch_size, order.cores, order.lanes, package.temperature
    )
    runners = [TorchRunner(network, pictures, config) for _ in range(order.lanes)]
    rate = images_per_second(runners, order.seconds)
    why_not = None
    if dtype != torch.float32:
        why_not = disagreement(logits_of(package.network, pictures), logits_of(network, pictures), package.temperature)
    return Candidate("torch", precision, order.lanes, round(rate, 1), why_not)


def _main() -> int:
    document = json.load(sys.stdin)
    order = Order(**{**document, "precisions": tuple(document["precisions"])})
    torch.set_num_threads(order.cores)
    try:
        answer: dict[str, Any] = {"candidates": [asdict(each) for each in make_here(order)]}
    except VitServeError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except OSError as error:
        answer = {"error": "ExportFailed", "message": f"the graphs cannot be written: {error.strerror or error}"}
    except Exception as error:
        traceback.print_exc()
        answer = {"error": "ExportFailed", "message": f"{type(error).__name__}: {error}"}
    sys.stdout.write("\n" + json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
