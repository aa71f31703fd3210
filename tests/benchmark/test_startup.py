"""Seconds from the spawn to ready, and memory when idle, beside what importing the libraries alone takes."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from tests.benchmark import processes
from tests.benchmark.options import ROOT, embedded_model, repeats
from tests.benchmark.report import Report, verdict
from tests.benchmark.server import running, service

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(120 + 60 * repeats())]

_MORE_THAN_IMPORT_S: Final = 2.0
_IDLE_PSS_MB: Final = 350.0
_SETTLE_S: Final = 1.0
# Says when it has imported and waits, so that leaving the interpreter does not count and memory can be read.
_IMPORT: Final = "import torch, fastapi; print('imported', flush=True); input()"


def test_start_and_idle_memory(report: Report, tmp_path: Path) -> None:
    model, remark = embedded_model()
    _start(model, tmp_path / "warm.log")  # fills the file cache
    imports, starts = [], []
    for number in range(repeats()):
        imports.append(_import())
        starts.append(_start(model, tmp_path / f"{number}.log"))
    import_s, start_s = (median(run["seconds"] for run in runs) for runs in (imports, starts))
    import_mb, start_mb = (median(run["pss_mb"] for run in runs) for runs in (imports, starts))
    table = report.table(f"Start and idle memory, medians of {repeats()}, warm file cache")
    table.row(what="import torch, fastapi", seconds=import_s, PSS_MB=import_mb, verdict=None)
    table.row(what=f"vit-serve serve, {model}, ready", seconds=start_s, PSS_MB=start_mb, verdict=None)
    table.row(
        what="more than the import, seconds",
        seconds=start_s - import_s,
        verdict=verdict(start_s - import_s, _MORE_THAN_IMPORT_S, at_most=True),
    )
    table.row(what="idle memory", PSS_MB=start_mb, verdict=verdict(start_mb, _IDLE_PSS_MB, at_most=True))
    if remark:
        table.note(remark)
    if sharers := max(run["sharers"] for run in starts):
        table.note(
            f"{sharers} other processes had torch mapped and took their share of its pages: alone, "
            "the PSS would be higher."
        )
    report.record("startup", {"model": model, "imports": imports, "starts": starts})
    assert start_s > 0 and start_mb > 0


def _start(model: str, log: Path) -> dict[str, Any]:
    with running(service(model), log) as server:
        time.sleep(_SETTLE_S)
        return {"seconds": server.ready_after_s, **_memory(server.pid)}


def _import() -> dict[str, Any]:
    started_at = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _IMPORT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "imported\n"
        seconds = time.monotonic() - started_at
        memory = _memory(child.pid)
        child.communicate("\n", timeout=30)
    return {"seconds": seconds, **memory}


def _memory(pid: int) -> dict[str, Any]:
    return {"pss_mb": processes.pss_bytes(pid) / 1e6, "sharers": len(processes.others_mapping("libtorch_cpu", pid))}
