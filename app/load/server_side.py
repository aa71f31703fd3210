"""Owns what the server tells of itself beside a run: its counters' growth, and Server-Timing; does not ask it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.load.timings import Timings

Counters = Mapping[str, float]
_SAMPLE: Final = re.compile(r"^((?:vit|process)_[a-z_]+(?:\{[^}\n]*\})?) ([0-9.e+-]+)$", re.MULTILINE)
_STAGES: Final = re.compile(r'vit_stage_duration_seconds_count\{stage="(\w+)"\}')
_BATCHES: Final = re.compile(r'vit_batch_size_bucket\{le="([0-9.]+|\+Inf)"\}')


@dataclass(frozen=True, slots=True)
class ServerSide:
    """`stages_ms`: mean of each stage, and p50, p90 and p99 where its answers have Server-Timing headers.

    `batches`: how many had at most so many images, more than the size before it. None: it does not tell.
    """

    stages_ms: dict[str, dict[str, float]]
    mean_batch: float | None
    batches: dict[str, int]
    cpu_ms_per_answer: float | None


def counters_of(exposition: bytes) -> dict[str, float]:
    """The samples of vit-serve and of its process, by name and labels as they are written."""
    found = {}
    for name, value in _SAMPLE.findall(exposition.decode(errors="replace")):
        try:
            found[name] = float(value)
        except ValueError:
            continue
    return found


def server_side(timings: Timings, before: Counters, after: Counters) -> ServerSide:
    """What it told between two looks at its counters, which may be empty."""
    grown = {name: value - before.get(name, 0.0) for name, value in after.items() if before}
    stages: dict[str, dict[str, Any]] = {}
    for name in grown:
        if (match := _STAGES.fullmatch(name)) and grown[name] > 0:
            total = grown.get(name.replace("_count{", "_sum{"), 0.0)
            stages[match[1]] = {"mean": 1000 * total / grown[name]}
    for stage, values in timings.stages_ms().items():
        p50, p90, p99 = np.quantile(values, (0.5, 0.9, 0.99), method="inverted_cdf")
        stages[stage] = {"mean": float(np.mean(values)), "p50": float(p50), "p90": float(p90), "p99": float(p99)}
    ran, images = (grown.get(f"vit_batch_size_{what}", 0.0) for what in ("count", "sum"))
    cpu_s, answers = grown.get("process_cpu_seconds_total"), grown.get('vit_jobs_total{outcome="result"}', 0.0)
    return ServerSide(
        stages_ms=stages,
        mean_batch=images / ran if ran else None,
        batches=_batches(grown),
        cpu_ms_per_answer=1000 * cpu_s / answers if cpu_s is not None and answers else None,
    )


def _batches(grown: Counters) -> dict[str, int]:
    found, before = {}, 0
    for name, value in grown.items():  # in ascending order, as Prometheus wants them
        if match := _BATCHES.fullmatch(name):
            if round(value) > before:
                found[match[1].removesuffix(".0")] = round(value) - before
            before = round(value)
    return found
