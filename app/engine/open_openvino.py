"""Owns a model run by OpenVINO, from its place on disk to its runners; does not measure or compare by itself."""

import hashlib
import importlib.metadata
import json
import logging
from contextlib import ExitStack
from dataclasses import asdict, astuple
from pathlib import Path
from typing import NamedTuple

from app.checkpoints.located import Located
from app.domain import Candidate, Scoring
from app.engine.client import Runner
from app.engine.make import torch_is_installed
from app.engine.obtain import Sources, obtain
from app.engine.opened import Opened, Wish
from app.engine.rank import FLOATS, Proven, candidates, choose, compiled, weights_of
from app.engine.runners.openvino import CPU, OpenVINORunner, this_cpu
from app.engine.runners.openvino_interior import OpenVINOInterior
from app.errors import ExportFailed, ExportInterrupted
from app.graphs.cache import Cache
from app.graphs.folder import GRAPHS_NAME, Graphs, Logits, OtherFormat, Pixels, read_description, read_graphs
from app.graphs.library import openvino
from app.package.description import PackageDescription
from app.version import VERSION

logger = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """A choice and what it was made from."""

    best: Candidate
    candidates: tuple[Candidate, ...]


def open_openvino(located: Located, wish: Wish) -> Opened | Chosen:
    """The model in OpenVINO, or the choice of torch where that is faster.

    Raises ExportFailed where OpenVINO cannot run it, PackageError where its graphs or files are damaged.
    """
    cache, cpu, carried = Cache(wish.cache_directory), this_cpu(), _carried(located)
    name = _name_of_choice(located, wish, cpu, carried)
    chosen = _remembered(cache, name)
    if chosen and chosen.best.engine == "torch":
        return chosen
    with ExitStack() as drafts:
        try:
            formats = () if chosen else _torch_formats(wish, cpu)
            needed = weights_of(chosen.best.precision if chosen else wish.precision)
            graphs, torch_rates = obtain(located, wish, Sources(cache, carried, drafts), needed, formats)
            description, parameters = _description(located, graphs)
            proven = _proven(graphs, carried, description.scoring)
            if chosen is None:
                found = [*candidates(proven, wish, cpu), *torch_rates]
                chosen = Chosen(choose(found), tuple(found))
                cache.remember(name, {"best": asdict(chosen.best), "candidates": [asdict(each) for each in found]})
        except ExportInterrupted:
            raise
        except ExportFailed as error:
            cache.remember(name, {"failed": str(error)})
            raise
        if chosen.best.engine == "torch":
            return chosen
        path = proven.paths[weights_of(chosen.best.precision)]
        graph = compiled(path, chosen.best, wish.cores)
    batch_size = wish.batch_size(on_gpu=False)

    def runners(pixels: Pixels) -> list[Runner]:
        lanes = range(chosen.best.lanes)
        return [OpenVINORunner(graph, pixels, batch_size, description.scoring) for _ in lanes]

    return Opened(
        *(description, parameters, "openvino", "cpu", chosen.best.precision, batch_size, runners),
        reason=None if wish.engine == "auto" else "it was asked for",
        candidates=chosen.candidates,
        interior=OpenVINOInterior(path, wish.cores),
    )


def _carried(located: Located) -> Graphs | None:
    """The graphs in a package of ours. Raises PackageError where they are damaged."""
    directory = located.directory and located.directory / GRAPHS_NAME
    if directory is None or not directory.is_dir():
        return None
    try:
        return read_graphs(directory, located.key)
    except OtherFormat as error:
        logger.warning("%s; they are made again", error)
        return None


def _name_of_choice(located: Located, wish: Wish, cpu: CPU, carried: Graphs | None) -> str:
    """Changes with all that the choice depends on."""
    versions = [VERSION, openvino.__version__, importlib.metadata.version("torch") if torch_is_installed() else None]
    wished = [wish.engine, wish.precision, wish.cores, wish.max_batch_size]
    scoring = astuple(located.description.scoring) if located.description else None  # the comparison depends on it
    facts = [located.key, scoring, *astuple(cpu), *wished, *versions, sorted(carried.logits) if carried else []]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _remembered(cache: Cache, name: str) -> Chosen | None:
    """Raises ExportFailed if that is what is remembered."""
    document = cache.choice(name) or {}
    if document.get("failed"):
        raise ExportFailed(str(document["failed"]))
    try:
        return Chosen(Candidate(**document["best"]), tuple(Candidate(**each) for each in document["candidates"]))
    except (KeyError, TypeError):
        return None


def _torch_formats(wish: Wish, cpu: CPU) -> tuple[str, ...]:
    """What torch is to be measured in, the fastest first."""
    if not torch_is_installed() or wish.engine != "auto":
        return ()
    if wish.precision == "auto":
        return tuple(reversed(FLOATS)) if cpu.bfloat16 else FLOATS[:1]
    return (wish.precision,) if wish.precision in FLOATS else ()


def _description(located: Located, graphs: Graphs) -> tuple[PackageDescription, int]:
    if located.description:
        return located.description, located.parameters
    return read_description(next(iter(graphs.paths.values())).parent)


def _proven(graphs: Graphs, carried: Graphs | None, scoring: Scoring) -> Proven:
    """All graphs that there are; the pictures are the same, whoever made them."""
    sources = [graphs] if carried is None else [graphs, carried]
    paths: dict[str, Path] = {}
    logits: dict[str, Logits] = {}
    for each in sources:
        paths |= each.paths
        logits |= each.logits
    return Proven(paths, graphs.probes, logits, scoring)
