"""Seconds from the spawn to ready, with an empty and a warm cache of graphs, and memory when idle and after load."""

import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from tests.benchmark import processes
from tests.benchmark.load import Target, closed_loop
from tests.benchmark.options import embedded_model, repeats, seconds
from tests.benchmark.report import Report, Table, verdict
from tests.benchmark.server import running, service

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(180 + 60 * repeats() + 5 * seconds())]

_WARM_S: Final = 1.5
_EMPTY_S: Final = 8.0
_IDLE_MB: Final = 220.0
_LOADED_MB: Final = 300.0
_SETTLE_S: Final = 1.0
_CONNECTIONS: Final = 16
_LIBRARIES: Final = {"openvino": "libopenvino", "torch": "libtorch_cpu"}  # the largest that others might share


def test_start_and_memory(photographs: Target, report: Report, tmp_path: Path) -> None:
    model, remark = embedded_model()
    warm_cache = {"VIT_ENGINE": "auto", "VIT_CACHE_DIR": str(tmp_path / "warm")}
    torch = {"VIT_ENGINE": "torch"}
    _start(model, torch, tmp_path / "torch.log")  # fills the file cache, as the next does
    _start(model, warm_cache, tmp_path / "warm.log")
    runs: dict[str, list[dict[str, Any]]] = {"empty": [], "warm": [], "torch": []}
    for number in range(repeats()):
        empty = {**warm_cache, "VIT_CACHE_DIR": str(tmp_path / f"empty{number}")}
        for name, environment in (("empty", empty), ("warm", warm_cache), ("torch", torch)):
            runs[name].append(_start(model, environment, tmp_path / f"{name}{number}.log"))
    loaded = _start(model, warm_cache, tmp_path / "loaded.log", photographs)
    table = report.table(f"Start and memory of {model}, medians of {repeats()}, files in memory")
    _rows(table, runs, loaded)
    if remark:
        table.note(remark)
    if sharers := max(run["sharers"] for each in runs.values() for run in each):
        table.note(
            f"{sharers} other processes had the engine's library mapped and took their share of its pages: alone, the "
            "PSS would be higher."
        )
    report.record("startup", {"model": model, **runs, "loaded": loaded})
    assert all(run["seconds"] > 0 and run["pss_mb"] > 0 for each in runs.values() for run in each)


def _rows(table: Table, runs: dict[str, list[dict[str, Any]]], loaded: dict[str, Any]) -> None:
    seconds_to_ready = {name: median(run["seconds"] for run in each) for name, each in runs.items()}
    idle_mb = {name: median(run["pss_mb"] for run in each) for name, each in runs.items()}
    verdicts = {
        "empty": verdict(seconds_to_ready["empty"], _EMPTY_S, at_most=True),
        "warm": verdict(seconds_to_ready["warm"], _WARM_S, at_most=True),
    }
    names = {"empty": "ready from an empty cache", "warm": "ready from a warm cache", "torch": "ready with torch"}
    for name, each in runs.items():
        table.row(
            what=names[name],
            seconds=seconds_to_ready[name],
            PSS_MB=idle_mb[name],
            runs=each[-1]["chosen"],
            verdict=verdicts.get(name),
        )
    memories = (
        ("idle, warm cache", idle_mb["warm"], _IDLE_MB),
        ("after load, warm cache", loaded["pss_mb"], _LOADED_MB),
    )
    for what, found_mb, most_mb in memories:
        table.row(what=what, PSS_MB=found_mb, runs=None, verdict=verdict(found_mb, most_mb, at_most=True))


def _start(model: str, environment: dict[str, str], log: Path, load: Target | None = None) -> dict[str, Any]:
    """One start, and what it takes of memory when it has settled, or after `load`."""
    with running(service(model), log, environment=environment) as server:
        if load:
            closed_loop(load._replace(port=server.port), _CONNECTIONS, seconds())
        time.sleep(_SETTLE_S)
        about = server.get_json("/v1/model")
        return {
            "seconds": server.ready_after_s,
            "pss_mb": processes.pss_bytes(server.pid) / 1e6,
            "sharers": len(processes.others_mapping(_LIBRARIES[about["engine"]], server.pid)),
            "chosen": f"{about['engine']} {about['precision']} x{about['lanes']}",
        }
