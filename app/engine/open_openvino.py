"""Owns a model run by OpenVINO, from its place on disk to its runners; does not measure or compare by itself."""

import hashlib
import importlib.metadata
import json
import logging
from contextlib import ExitStack
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Final, NamedTuple

from app.checkpoints.located import Located
from app.domain import Candidate
from app.engine.client import Runner
from app.engine.make import Order, make, torch_is_installed
from app.engine.opened import Opened, Wish
from app.engine.rank import FLOATS, INT8, Proven, candidates, choose, compiled, weights_of
from app.engine.runners.openvino import CPU, OpenVINORunner, this_cpu
from app.errors import ExportFailed, PackageError
from app.graphs.cache import Cache
from app.graphs.folder import GRAPHS_NAME, Graphs, Logits, OtherFormat, Pixels, read_description, read_graphs
from app.graphs.library import openvino
from app.package.description import PackageDescription

logger = logging.getLogger(__name__)
_TORCH_S: Final = 0.25  # to measure each number format for


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
    with ExitStack() as drafts:
        try:
            graphs, torch_rates = _graphs(located, wish, cpu, cache, carried, drafts, measured=chosen is not None)
            description, parameters = _description(located, graphs)
            proven = _proven(graphs, carried, description.temperature)
            if chosen is None:
                found = [*candidates(proven, wish, cpu), *torch_rates]
                chosen = Chosen(choose(found), tuple(found))
                cache.remember(name, {"best": asdict(chosen.best), "candidates": [asdict(each) for each in found]})
        except ExportFailed as error:
            cache.remember(name, {"failed": str(error)})
            raise
        if chosen.best.engine == "torch":
            return chosen
        graph = compiled(proven.paths[weights_of(chosen.best.precision)], chosen.best, wish.cores)
    batch_size = wish.batch_size(on_gpu=False)

    def runners(pixels: Pixels) -> list[Runner]:
        lanes = range(chosen.best.lanes)
        return [OpenVINORunner(graph, pixels, batch_size, description.temperature) for _ in lanes]

    return Opened(
        *(description, parameters, "openvino", "cpu", chosen.best.precision, batch_size, runners),
        reason=None if wish.engine == "auto" else "it was asked for",
        candidates=chosen.candidates,
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
    versions = [openvino.__version__, importlib.metadata.version("torch") if torch_is_installed() else None]
    wished = [wish.engine, wish.precision, wish.cores, wish.max_batch_size]
    facts = [located.key, *astuple(cpu), *wished, *versions, sorted(carried.logits) if carried else []]
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


def _graphs(
    located: Located, wish: Wish, cpu: CPU, cache: Cache, carried: Graphs | None, drafts: ExitStack, *, measured: bool
) -> tuple[Graphs, tuple[Candidate, ...]]:
    """The graphs that are needed, made where there are none, and how fast torch is unless all is measured."""
    needed = INT8 if wish.precision == INT8 else FLOATS[0]
    if needed == INT8 and (carried is None or INT8 not in carried.paths):
        raise PackageError(f"{located.name} carries no int8 graph; `vit-serve quantize` makes a package that does")
    graphs = carried if carried and needed in carried.paths else cache.graphs(located.key)
    installed = torch_is_installed()
    precisions: tuple[str, ...] = ()
    if installed and wish.engine == "auto" and not measured:
        native = reversed(FLOATS) if cpu.bfloat16 else FLOATS[:1]
        precisions = tuple(native) if wish.precision == "auto" else tuple({wish.precision} & set(FLOATS))
    if graphs is not None and not precisions:
        return graphs, ()
    if graphs is None and not installed:
        if carried is not None:
            return carried, ()
        raise PackageError(
            f"{located.name} carries no graph for OpenVINO, and torch, which makes one, is not installed here: "
            "`vit-serve build` makes a package that does"
        )
    draft = None if graphs else drafts.enter_context(cache.draft(located.key))
    logger.info("%s: %s", located.name, "exporting it to OpenVINO" if draft else "measuring torch")
    order = Order(
        located.name,
        located.key,
        str(draft) if draft else None,
        precisions,
        wish.cores,
        wish.lanes,
        wish.batch_size(on_gpu=False),
        _TORCH_S,
    )
    rates = make(order)
    if graphs is None:
        assert draft is not None
        graphs = read_graphs(cache.keep(located.key, draft), located.key)
    return graphs, rates


def _description(located: Located, graphs: Graphs) -> tuple[PackageDescription, int]:
    if located.description:
        return located.description, located.parameters
    return read_description(next(iter(graphs.paths.values())).parent)


def _proven(graphs: Graphs, carried: Graphs | None, temperature: float) -> Proven:
    """All graphs that there are; the pictures are the same, whoever made them."""
    sources = [graphs] if carried is None else [graphs, carried]
    paths: dict[str, Path] = {}
    logits: dict[str, Logits] = {}
    for each in sources:
        paths |= each.paths
        logits |= each.logits
    return Proven(paths, graphs.probes, logits, temperature)
