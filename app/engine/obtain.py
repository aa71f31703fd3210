"""Owns where a model's graph comes from: its package, the cache or a child that makes it; does not run it."""

import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from app.checkpoints.located import Located
from app.domain import Candidate
from app.engine.make import Order, make, torch_is_installed
from app.engine.opened import Wish
from app.engine.rank import INT8
from app.errors import ExportFailed, ExportInterrupted, PackageError
from app.graphs.cache import Cache
from app.graphs.folder import GRAPHS_NAME, Graphs, read_graphs

logger = logging.getLogger(__name__)
_TORCH_S: Final = 0.25  # to measure each number format for


class Sources(NamedTuple):
    """The cache, what the package carries, and the stack that ends folders which are not kept."""

    cache: Cache
    carried: Graphs | None
    drafts: ExitStack


def obtain(
    located: Located, wish: Wish, sources: Sources, needed: str, formats: tuple[str, ...]
) -> tuple[Graphs, tuple[Candidate, ...]]:
    """The graph with `needed` weights, made where there is none, and how fast torch is in each of `formats`.

    Raises PackageError where it is neither carried nor can be made, ExportFailed and what `load_model` raises.
    """
    cache, carried, _ = sources
    if carried and needed in carried.paths:
        graphs: Graphs | None = carried
    elif needed == INT8:
        raise PackageError(f"{located.name} carries no int8 graph; `vit-serve quantize` makes a package that does")
    else:
        graphs = cache.graphs(located.key)
    if graphs is None and not torch_is_installed():
        if carried is None or wish.precision != "auto":
            raise PackageError(
                f"{located.name} carries no {needed} graph for OpenVINO, and torch, which makes one, is not installed "
                "here: `vit-serve build` makes a package that does"
            )
        graphs = carried  # int8 is better than nothing
    if graphs is None:
        return _made(located, wish, sources, formats)
    return graphs, _torch_rates(located, wish, formats) if formats else ()


def _torch_rates(located: Located, wish: Wish, formats: tuple[str, ...]) -> tuple[Candidate, ...]:
    logger.info("%s: measuring torch", located.name)
    try:
        return make(_order(located, wish, None, formats))
    except ExportFailed as error:  # there is a graph, so all goes on without
        logger.warning("torch was not measured: %s", error)
        return ()


def _made(
    located: Located, wish: Wish, sources: Sources, formats: tuple[str, ...]
) -> tuple[Graphs, tuple[Candidate, ...]]:
    """In the cache where that can be written, else in a place that will go."""
    logger.info("%s: exporting it to OpenVINO", located.name)
    try:
        draft = sources.drafts.enter_context(sources.cache.draft(located.key))
        rates = make(_order(located, wish, draft, formats))
        return read_graphs(sources.cache.keep(located.key, draft), located.key), rates
    except OSError as error:
        logger.warning("nothing can be kept in the cache, so each start makes the graphs again: %s", error)
    try:
        draft = Path(sources.drafts.enter_context(tempfile.TemporaryDirectory(prefix="vit-serve."))) / GRAPHS_NAME
        rates = make(_order(located, wish, draft, formats))
        return read_graphs(draft, located.key), rates
    except OSError as error:
        raise ExportInterrupted(f"there is no place to write the graphs to: {error}; see VIT_CACHE_DIR") from error


def _order(located: Located, wish: Wish, draft: Path | None, formats: tuple[str, ...]) -> Order:
    directory = str(draft) if draft else None
    limits = wish.cores, wish.lanes, wish.batch_size(on_gpu=False), wish.strict
    return Order(located.name, located.key, directory, formats, *limits, _TORCH_S)
