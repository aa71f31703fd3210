"""What is left of the throughput when more requests arrive than can be answered, and whether fewer are all taken."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.benchmark.answers import check_answers
from tests.benchmark.load import Target, closed_loop, open_loop
from tests.benchmark.options import TINY, seconds
from tests.benchmark.report import Report, verdict
from tests.benchmark.server import running, service

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(240 + 20 * seconds())]

_CONNECTIONS: Final = 16
_LOADS: Final = (0.7, 0.85, 2.0, 5.0, 10.0)  # times the closed-loop peak
_DEADLINE_S: Final = 1.0
_SEED: Final = 20261123
_WARM_S: Final = 2
_GOODPUT: Final = 0.95  # of the peak, above it
_IN_TIME: Final = 0.99  # of those not refused: then their 99th percentile lies within the deadline


def test_goodput_at_ten_times_the_peak(photographs: Target, report: Report, tmp_path: Path) -> None:
    table = report.table(f"Overload of {TINY}: open loop, deadline {_DEADLINE_S:g} s from the scheduled arrival")
    with running(service(TINY), tmp_path / "server.log") as server:
        target = photographs._replace(port=server.port)
        check_answers(server, target)
        about = server.get_json("/v1/model")
        closed_loop(target, _CONNECTIONS, _WARM_S)
        peak = closed_loop(target, _CONNECTIONS, seconds())
        runs = [open_loop(target, load * peak["requests_per_s"], seconds(), _DEADLINE_S, _SEED) for load in _LOADS]
        check_answers(server, target)
    for load, run in zip(_LOADS, runs, strict=True):
        run["ratio"] = run["goodput"] / peak["requests_per_s"]
        run["in_time"] = run["ok"] / max(run["ok"] + run["timeouts"], 1)
        table.row(
            load=f"{load:g} x peak",
            offered__s=run["offered"],
            goodput__s=run["goodput"],
            goodput__peak=run["ratio"],
            p50_ms=run["p50_ms"],
            p99_ms=run["p99_ms"],
            refused_503=run["refused"],
            timeouts=run["timeouts"],
            errors=run["errors"],
            recovery_s=run["recovery_s"],
            generator_CPU=f"{run['cpu_share']:.0%}",
            verdicts=_verdicts(load, run),
        )
    table.note(
        f"Peak: {peak['requests_per_s']:.1f} requests/s, closed loop, {_CONNECTIONS} connections, {peak['generator']}; "
        f"by {about['engine']} in {about['precision']}. {seconds()} s each. "
        "Percentiles are of the answers in time; a client that is not answered in time closes its connection."
    )
    report.record("overload", {"model": TINY, "peak": peak, "open_loop": runs})
    assert peak["errors"] == 0, peak
    assert all(run["ok"] > 0 and run["errors"] == 0 and run["recovery_s"] is not None for run in runs), runs


def _verdicts(load: float, run: dict[str, Any]) -> str:
    """Below the peak nobody is refused, above it as much is answered; what is taken is answered within the deadline."""
    if load < 1:
        first = f"refused: {verdict(run['refused'], 0, at_most=True)}"
    else:
        first = f"goodput/peak: {verdict(run['ratio'], _GOODPUT, at_most=False)}"
    in_time = verdict(run["in_time"], _IN_TIME, at_most=False)
    return f"{first}; in time of those not refused, {run['in_time']:.1%}: {in_time}"
