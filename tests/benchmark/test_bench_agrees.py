"""Whether `vit-serve bench` and wrk tell the same of one server: closed loop, in turn, medians of the rounds."""

import shutil
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from tests.benchmark.load import Target, closed_loop
from tests.benchmark.measured import WARM_S
from tests.benchmark.options import NOOP, repeats, seconds
from tests.benchmark.report import Report, verdict
from tests.benchmark.server import running, service

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(120 + 4 * repeats() * (seconds() + 15))]

_CONNECTIONS: Final = 16
_WITHIN: Final = 0.05  # the target …
_GENEROUS: Final = 0.15  # … and the failure: other work on the machine comes and goes between two measurements
_FIGURES: Final = ("requests_per_s", "p50_ms", "p99_ms")


def test_bench_and_wrk(photographs: Target, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    rounds: list[dict[str, dict[str, Any]]] = []
    with running(service(NOOP), tmp_path / "server.log") as server:
        target = photographs._replace(port=server.port)
        closed_loop(target, _CONNECTIONS, WARM_S)
        for number in range(repeats()):
            found = {}
            for generator in ("wrk", "ours") if number % 2 else ("ours", "wrk"):
                monkeypatch.setenv("BENCH_GENERATOR", generator)
                found[generator] = closed_loop(target, _CONNECTIONS, seconds())
            rounds.append(found)
    table = report.table(f"`vit-serve bench` beside wrk, `noop`, {_CONNECTIONS} connections, {repeats()} rounds")
    ratios = {name: median(each["ours"][name] / each["wrk"][name] for each in rounds) for name in _FIGURES}
    for name, ratio in ratios.items():
        medians = {who: median(each[who][name] for each in rounds) for who in ("wrk", "ours")}
        table.row(
            figure=name,
            wrk=medians["wrk"],
            bench=medians["ours"],
            ratio=f"{ratio:.3f}",
            verdict=f"difference: {verdict(abs(ratio - 1), _WITHIN, at_most=True)}" if name != "p99_ms" else "",
        )
    shares = {who: median(each[who]["cpu_share"] for each in rounds) for who in ("wrk", "ours")}
    table.note(f"Of a core wrk took {shares['wrk']:.0%} and bench {shares['ours']:.0%}, its start included in wrk's.")
    report.record("bench_agrees", rounds)
    assert all(run["errors"] == 0 for each in rounds for run in each.values()), rounds
    assert abs(ratios["requests_per_s"] - 1) < _GENEROUS, ratios
