"""Owns the measuring of a model's graphs on this CPU and the choice among all candidates; makes and keeps nothing."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from app.domain import Candidate, Scoring
from app.engine.measure import images_per_second
from app.engine.opened import Wish
from app.engine.runners.openvino import CPU, CompiledGraph, OpenVINORunner, infer
from app.errors import DeviceError, ExportFailed
from app.graphs.agreement import disagreement
from app.graphs.folder import Logits, Pixels

FLOATS: Final = ("float32", "bfloat16")
INT8: Final = "int8"  # weights and activations of most layers; alone, the others compute in float32
_INT8S: Final = ("int8", "int8+bfloat16")
_MEASURE_S: Final = 0.3
_BUDGET_S: Final = 4.0  # from the first; what is not measured then is not chosen
_INT8_GAIN: Final = 1.1  # below it the loss of exactness, small as it is, is not worth it


class Proven(NamedTuple):
    """Graphs by the format of their weights, with pictures and the logits that each graph gave where it was made."""

    paths: Mapping[str, Path]
    probes: Pixels
    logits: Mapping[str, Logits]
    scoring: Scoring


def candidates(proven: Proven, wish: Wish, cpu: CPU) -> list[Candidate]:
    """Measures what the wish allows: first each number format, then the best of them with other numbers of lanes."""
    until = time.monotonic() + _BUDGET_S
    first = [Candidate("openvino", each, wish.lanes) for each in _formats(proven, wish, cpu)]
    found = [_measure(proven, candidate, wish, until) for candidate in first]
    if (best := _best(found)) is not None:
        others = [lanes for lanes in (8, 4, 2, 1) if lanes <= wish.cores and lanes != wish.lanes]
        found += [_measure(proven, replace(best, lanes=lanes), wish, until) for lanes in others]
    return found


def choose(found: Sequence[Candidate]) -> Candidate:
    """The fastest whose answers are right; int8 only if faster by a tenth. Raises ExportFailed if there is none."""
    exact = _best(each for each in found if each.precision not in _INT8S)
    int8 = _best(each for each in found if each.precision in _INT8S)
    if exact is None and int8 is None:
        raise ExportFailed("; ".join(f"{each.precision}: {each.why_not}" for each in found))
    if exact is None or (int8 and _rate(int8) >= _INT8_GAIN * _rate(exact)):
        assert int8 is not None
        return int8
    return exact


def weights_of(precision: str) -> str:
    """Which graph computes in a number format."""
    return INT8 if precision in _INT8S else FLOATS[0]


def compiled(path: Path, candidate: Candidate, cores: int) -> CompiledGraph:
    """The candidate's graph, ready to run."""
    computes_in = FLOATS[1] if candidate.precision.endswith(FLOATS[1]) else FLOATS[0]
    return CompiledGraph(path, computes_in, cores, candidate.lanes)


def _formats(proven: Proven, wish: Wish, cpu: CPU) -> list[str]:
    """The fastest first, as a rule: what comes late may find no time left."""
    int8 = _INT8S if cpu.bfloat16 else _INT8S[:1]
    if wish.precision != "auto":
        return list(int8) if wish.precision == INT8 else [wish.precision]
    floats = FLOATS if cpu.bfloat16 else FLOATS[:1]
    return [*(int8 if INT8 in proven.paths else ()), *(floats[::-1] if FLOATS[0] in proven.paths else ())]


def _measure(proven: Proven, candidate: Candidate, wish: Wish, until: float) -> Candidate:
    if time.monotonic() > until:
        return replace(candidate, images_per_s=None, why_not="not measured, there was no time left")
    weights = weights_of(candidate.precision)
    try:
        graph = compiled(proven.paths[weights], candidate, wish.cores)
    except DeviceError as error:
        return replace(candidate, images_per_s=None, why_not=str(error))
    expected, exact = proven.logits[weights], candidate.precision == FLOATS[0]
    why_not = disagreement(expected, infer(graph.request(), proven.probes), proven.scoring, exact)
    if why_not and (wish.strict or candidate.precision != FLOATS[1]):
        return replace(candidate, images_per_s=None, why_not=why_not)
    batch_size = wish.batch_size(on_gpu=False)
    runners = [OpenVINORunner(graph, proven.probes, batch_size, proven.scoring) for _ in range(candidate.lanes)]
    return replace(candidate, images_per_s=round(images_per_second(runners, _MEASURE_S), 1))


def _best(found: Iterable[Candidate]) -> Candidate | None:
    return max((each for each in found if each.why_not is None and each.images_per_s), key=_rate, default=None)


def _rate(candidate: Candidate) -> float:
    return candidate.images_per_s or 0.0
