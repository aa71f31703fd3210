"""Owns what a run amounts to: rates, percentiles, refusals, errors, and what to distrust; measures nothing."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.load.outcome import ERRORS, UNFINISHED
from app.load.run import Load, Run
from app.load.server_side import ServerSide

Numbers = npt.NDArray[np.float64]
_REFUSALS: Final = ("429", "503")
_PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
_CURVE: Final = tuple(1 - 10 ** (-step / 10) for step in range(41))  # 0 … 99.99 %, for plots
_MOST_ROWS: Final = 120
_BUSY: Final = 0.85  # of a core, from which on the generator itself may be the limit …
_LATE_MS, _LATE_SHARE = 2.0, 0.1  # … or when its sends are later than both, the share being of p99
_SPOILT: Final = 0.01  # share of errors
_OVERDUE: Final = 3.0  # times the longest answer; what is waited for as long at the end counts for something
_ENOUGH: Final = 10  # answers beyond a percentile, with fewer of which it is chance


@dataclass(frozen=True, slots=True)
class Second:
    """A part of the window, from `second` on; rates a second, latencies in ms of what was answered."""

    second: float
    answered_per_s: float
    refused_per_s: float
    errors_per_s: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. Answered is 2xx; refused is 429 or 503; `statuses` has those and all others but 2xx by code.

    `sent` counts what ended in the window of a closed loop, and what was due in that of an open one. `throughput_per_s`
    and `goodput_per_s` are what was answered in the window, the latter within the deadline; `in_time` is the share of
    `sent`. Latencies, of what was answered, count from when a request was due. `late_ms`: how much later it was sent.
    `curve`: (share, ms) of the latencies.
    """

    connections: int
    rate: float | None
    seconds: float
    sent: int
    answered: int
    throughput_per_s: float
    deadline_ms: float | None
    goodput_per_s: float | None
    in_time: float | None
    latency_ms: dict[str, float] | None
    refused: int
    statuses: dict[str, int]
    errors: dict[str, int]
    unfinished: int
    unfinished_s: float
    late_ms: dict[str, float] | None
    cpu_share: float
    recovery_s: float | None
    server: ServerSide
    over_time: list[Second]
    curve: list[tuple[float, float]]
    warnings: list[str]
    limited_by_generator: bool


def figures_of(run: Run, load: Load, deadline_ms: float | None) -> Figures:
    """Of all that `run` recorded, what counts."""
    rows, seconds = run.rows, max(run.end - run.begin, 1e-9)
    latency_ms = 1000 * (rows.ended - rows.intended)
    done = rows.code != UNFINISHED
    ended_inside = (rows.ended >= run.begin) & (rows.ended <= run.end) & done
    due_inside = (rows.intended >= run.begin) & (rows.intended < run.end)
    counted = ended_inside if load.rate is None else due_inside
    ok = (rows.code >= 200) & (rows.code < 300)
    good = ok & (latency_ms <= (np.inf if deadline_ms is None else deadline_ms))
    codes = Counter(rows.code[counted & ~ok & done].tolist())
    statuses = {str(code): count for code, count in sorted(codes.items()) if code > 0}
    waiting = counted & ~done if load.rate is not None else ~done
    late = 1000 * (rows.sent - rows.intended)[counted & done & (load.rate is not None)]
    times = latency_ms[counted & ok]
    sent = int((counted & done).sum())
    errors = {ERRORS[code]: count for code, count in sorted(codes.items(), reverse=True) if code < 0}
    warnings = _warnings(run, load, times, late, (sum(errors.values()), sent))
    unfinished_s = float((rows.ended - rows.intended)[waiting].max(initial=0.0))
    if unfinished_s > max(_OVERDUE * times.max(initial=0) / 1000, 1):
        warnings.append(f"At the end {waiting.sum()} requests had no answer yet, one for {unfinished_s:.1f} s.")
    return Figures(
        connections=load.connections,
        rate=load.rate,
        seconds=seconds,
        sent=sent,
        answered=len(times),
        throughput_per_s=float((ended_inside & ok).sum()) / seconds,
        deadline_ms=deadline_ms,
        goodput_per_s=None if deadline_ms is None else float((ended_inside & good).sum()) / seconds,
        in_time=None if deadline_ms is None or not sent else float((counted & good).sum()) / sent,
        latency_ms=_summary(times),
        refused=sum(statuses.get(code, 0) for code in _REFUSALS),
        statuses=statuses,
        errors=errors,
        unfinished=int(waiting.sum()),
        unfinished_s=unfinished_s,
        late_ms=_summary(late),
        cpu_share=run.cpu_share,
        recovery_s=run.recovery_s,
        server=run.server,
        over_time=_over_time(run, seconds),
        curve=[(share, percentile(np.sort(times), share)) for share in _CURVE] if len(times) else [],
        warnings=warnings,
        limited_by_generator=run.cpu_share > _BUSY
        or (not run.waited and _p99(late) > max(_LATE_MS, _LATE_SHARE * (deadline_ms or _p99(times)))),
    )


def percentile(ascending: Numbers, share: float) -> float:
    """The least value that at least `share` of all do not exceed."""
    return float(ascending[max(int(np.ceil(share * len(ascending) - 1e-9)) - 1, 0)])


def _summary(values: Numbers) -> dict[str, float] | None:
    if not len(values):
        return None
    ascending = np.sort(values)
    exact = {name: percentile(ascending, share) for name, share in _PERCENTILES.items()}
    return {"mean": float(ascending.mean()), **exact, "max": float(ascending[-1])}


def _over_time(run: Run, seconds: float) -> list[Second]:
    """By when requests ended."""
    rows, step = run.rows, max(1.0, seconds / _MOST_ROWS)
    found = []
    place = np.floor((rows.ended - run.begin) / step)
    for number in range(int(np.ceil(seconds / step - 1e-6))):
        inside = (place == number) & (rows.ended <= run.end) & (rows.code != UNFINISHED)
        code, lasts_s = rows.code[inside], min(step, seconds - number * step)
        took = 1000 * (rows.ended - rows.intended)[inside][(code >= 200) & (code < 300)]
        summary = _summary(took) or {}
        found.append(
            Second(
                second=number * step,
                answered_per_s=len(took) / lasts_s,
                refused_per_s=float(np.isin(code, [int(each) for each in _REFUSALS]).sum()) / lasts_s,
                errors_per_s=float((code < 0).sum()) / lasts_s,
                p50_ms=summary.get("p50"),
                p99_ms=summary.get("p99"),
            )
        )
    return found


def _warnings(run: Run, load: Load, times: Numbers, late: Numbers, errors: tuple[int, int]) -> list[str]:
    """Sentences that say what to distrust."""
    found, failed, sent = list[str](), *errors
    p99_late, p99 = (_p99(each) for each in (late, times))
    if run.cpu_share > _BUSY:
        found.append(f"The generator took {run.cpu_share:.0%} of a core: it may have been the limit, not the server.")
    if run.waited:
        found.append(
            f"{run.waited} requests waited for one of the {load.connections} connections, which counts as latency: "
            "the server did not keep up, or --connections is too low."
        )
    elif p99_late > max(_LATE_MS, _LATE_SHARE * p99):
        found.append(
            f"1 in 100 requests was sent {p99_late:.1f} ms late or more, which counts as latency: the generator's "
            "machine was busy, or connections were slow to open."
        )
    if failed > _SPOILT * max(sent, 1):
        found.append(f"{failed / sent:.1%} of the requests failed: the figures tell of the others only.")
    for name, share in (("p99.9", 0.999), ("p99", 0.99)):
        if 0 < len(times) * (1 - share) < _ENOUGH * 0.999:
            found.append(f"With {len(times)} answers {name} is left to chance: let it run longer.")
            break
    return found


def _p99(values: Numbers) -> float:
    return percentile(np.sort(values), 0.99) if len(values) else 0.0
