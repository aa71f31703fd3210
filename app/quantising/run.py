"""Owns `quantize` from images to a package that carries an int8 graph; does not know how graphs are quantised."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from app.domain import Scoring
from app.engine.allowance import allowed_cores
from app.engine.measure import images_per_second
from app.engine.opened import Wish
from app.engine.rank import INT8
from app.engine.runners.openvino import CompiledGraph, OpenVINORunner, this_cpu
from app.errors import DatasetError, QuantizationFailed
from app.graphs.build import FLOAT, versions
from app.graphs.folder import GRAPHS_NAME, Graphs, Pixels, read_graphs, write_manifest, write_probes
from app.package.description import PackageDescription
from app.quantising.card import Facts, card
from app.quantising.judge import Limits, compare, logits_of
from app.quantising.recipes import RECIPES, quantise, save

CARD_NAME: Final = "INT8.md"
LEAST_IMAGES: Final = 64
_MEASURE_S: Final = 1.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Images:
    """Pixels as the network sees them, (n, height, width, 3), and their classes where they are known."""

    where: str
    calibration: Pixels
    judged: Pixels
    truths: tuple[int, ...] | None  # of the judged ones


def this_machine() -> Wish:
    """All cores of this machine, for judging and measuring."""
    return Wish("openvino", "cpu", "auto", allowed_cores(), 0, Path())


def check_scores(description: PackageDescription) -> None:
    """Raises QuantizationFailed for a regression."""
    if description.activation == "none":
        raise QuantizationFailed(
            f"{description.name} answers with numbers and no scores (activation none): how far int8 may change them is "
            "not known here, so it is served in float32 or bfloat16"
        )


def split(total: int, calibration: int, judged: int, seed: int) -> tuple[list[int], list[int]]:
    """Indices of images to take ranges from and, disjoint, to judge on. Raises DatasetError if there are too few."""
    if total < LEAST_IMAGES:
        raise DatasetError(
            f"there are {total} images; quantising takes at least {LEAST_IMAGES}, and is better with 3,000"
        )
    order = np.random.default_rng(seed).permutation(total).tolist()
    first = min(calibration, total // 2)
    return order[:first], order[first : first + judged]


def quantize_package(
    draft: Path, description: PackageDescription, key: str, images: Images, limits: Limits, wish: Wish, say: Say
) -> Facts:
    """Adds an int8 graph that holds, and its card, to a package which carries a float32 graph.

    Raises QuantizationFailed, with the figures of each recipe, if none holds.
    """
    directory = draft / GRAPHS_NAME
    graphs = read_graphs(directory, key)
    before = logits_of(graphs.paths[FLOAT], images.judged, wish.cores)
    reference = logits_of(graphs.paths[FLOAT], images.calibration, wish.cores)
    path, refused = directory / f"{INT8}.xml", list[tuple[str, str]]()
    for recipe in RECIPES:
        say(f"recipe {recipe!r}: taking ranges from {len(images.calibration)} images")
        allowed = 1 - limits.agreement, description.scoring
        save(quantise(recipe, graphs.paths[FLOAT], images.calibration, reference, *allowed), path)
        after = logits_of(path, images.judged, wish.cores)
        comparison = compare(before, after, description.scoring, description.labels, images.truths)
        if (reason := comparison.why_not(limits)) is None:
            break
        say(f"recipe {recipe!r} does not hold: {reason}")
        refused.append((recipe, reason))
    else:
        tried = "; ".join(f"{recipe}: {reason}" for recipe, reason in refused)
        raise QuantizationFailed(f"{description.name} in int8 is not good enough on {len(before)} images. {tried}")
    logits = {**graphs.logits, INT8: logits_of(path, graphs.probes, wish.cores)}
    write_probes(directory, graphs.probes, logits)
    both = (graphs.paths[FLOAT], path)
    rates = [_rate(each, graphs, description.scoring, wish) for each in both]
    sizes = [each.with_suffix(".bin").stat().st_size for each in both]
    facts = Facts(
        recipe=recipe,
        calibration_images=len(images.calibration),
        images=images.where,
        comparison=comparison,
        refused=tuple(refused),
        cpu=this_cpu().name,
        float_rate=rates[0],
        int8_rate=rates[1],
        float_bytes=sizes[0],
        int8_bytes=sizes[1],
    )
    (draft / CARD_NAME).write_text(card(description.name, facts), encoding="utf-8")
    write_manifest(directory, key, versions())
    return facts


def _rate(path: Path, graphs: Graphs, scoring: Scoring, wish: Wish) -> float:
    graph = CompiledGraph(path, FLOAT, wish.cores, wish.lanes)
    batch_size = wish.batch_size(on_gpu=False)
    runners = [OpenVINORunner(graph, graphs.probes, batch_size, scoring) for _ in range(wish.lanes)]
    return images_per_second(runners, _MEASURE_S)
