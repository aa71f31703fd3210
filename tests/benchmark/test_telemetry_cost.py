"""What metrics, log lines and traces cost of the throughput, beside a server that tells nothing, in turn in one run."""

import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from tests.benchmark import processes
from tests.benchmark.load import Target, closed_loop
from tests.benchmark.measured import WARM_S
from tests.benchmark.options import NOOP, repeats, seconds
from tests.benchmark.report import Report, verdict
from tests.benchmark.server import Server, running, service
from tests.telemetry.collector import collecting

_WAYS: Final = 5
pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(120 + _WAYS * repeats() * (seconds() + 30))]

_CONNECTIONS: Final = 16
_COST: Final = 0.02  # of the throughput, for what is on by itself
_NOTHING: Final = "nothing"
_DEFAULT: Final = "metrics, lines of failures"


def test_what_telling_costs(photographs: Target, report: Report, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(collecting(keep=False)).url
        traces = {"VIT_TRACING": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
        ways: dict[str, dict[str, str]] = {
            _NOTHING: {},
            _DEFAULT: {},
            "and a JSON line of 1 in 10": {"VIT_LOG_FORMAT": "json", "VIT_ACCESS_LOG": "0.1"},
            "and traces, 1 in 100": {**traces, **sampled},
            "and traces, all": traces,
        }
        assert len(ways) == _WAYS
        servers = {}
        for number, (way, environment) in enumerate(ways.items()):
            command = service(NOOP)
            if way == _NOTHING:
                command = [sys.executable, "-m", "tests.benchmark.silent", *command[command.index("serve") :]]
            log = tmp_path / f"{number}.log"
            servers[way] = stack.enter_context(running(command, log, environment=environment))
            closed_loop(photographs._replace(port=servers[way].port), _CONNECTIONS, WARM_S)
        rounds = [{way: _measure(server, photographs) for way, server in servers.items()} for _ in range(repeats())]
    assert all(run["errors"] == 0 and run["requests_per_s"] > 0 for each in rounds for run in each.values()), rounds
    table = report.table(f"What telling costs, `noop`, {_CONNECTIONS} connections, median of {repeats()} rounds")
    for way in ways:
        ratio, cpu = _ratio(rounds, way, "requests_per_s"), _ratio(rounds, way, "cpu_ms")
        table.row(
            told=way,
            requests__s=median(each[way]["requests_per_s"] for each in rounds),
            ratio=ratio,
            CPU_ms__request=median(each[way]["cpu_ms"] for each in rounds),
            ratio_of_CPU=cpu,
            verdict=f"cost: {verdict(1 - ratio, _COST, at_most=True)}" if way == _DEFAULT else "",
        )
    report.record("telemetry_cost", rounds)


def _measure(server: Server, photographs: Target) -> dict[str, Any]:
    cpu_s = processes.cpu_s(server.pid)
    figures = closed_loop(photographs._replace(port=server.port), _CONNECTIONS, seconds())
    used_s = processes.cpu_s(server.pid) - cpu_s
    return {**figures, "cpu_ms": 1000 * used_s / max(figures["requests_per_s"] * seconds(), 1)}


def _ratio(rounds: list[dict[str, dict[str, Any]]], way: str, key: str) -> float:
    """To the server that tells nothing, each round by itself: a machine drifts between them."""
    return float(median(each[way][key] / each[_NOTHING][key] for each in rounds))
