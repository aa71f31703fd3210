"""Owns one closed loop with what it cost the server, and what is said of it; does not start servers."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any, Final

from tests.benchmark import processes
from tests.benchmark.load import Target, closed_loop, run_module
from tests.benchmark.options import seconds
from tests.benchmark.report import Table
from tests.benchmark.server import Server

WARM_S: Final = 1
_DRIFT: Final = 0.1  # between two measurements of the same; more than this and the run should be repeated


def measure(server: Server, target: Target, connections: int) -> dict[str, Any]:
    """One closed loop with what it cost the server: cpu_ms a request, mean_batch."""
    closed_loop(target, connections, WARM_S)
    counters, cpu_s = server.counters(), processes.cpu_s(server.pid)
    figures = closed_loop(target, connections, seconds())
    used_s, later = processes.cpu_s(server.pid) - cpu_s, server.counters()
    images, batches = (later[key] - counters[key] for key in ("vit_batch_size_sum", "vit_batch_size_count"))
    return {
        "connections": connections,
        **figures,
        "cpu_ms": 1000 * used_s / max(images, 1),
        "mean_batch": images / max(batches, 1),
    }


def bare_forward(model: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The forward pass alone, by the engine and in the number format that the service uses. Raises RuntimeError."""
    return run_module("bare", seconds(), "forward", model, str(seconds()), environment=environment)


def bare_decode(model: str, photographs: Target, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Decoding alone, as the service does it for a model, by number of threads. Raises RuntimeError."""
    arguments = ("decode", model, str(seconds()), str(photographs.folder))
    return run_module("bare", seconds(), *arguments, environment=environment)


def remark_on_drift(table: Table, what: str, rates: dict[str, Any]) -> None:
    """Says so below the table where two measurements of the same differ much."""
    drift = abs(rates["after"] / rates["before"] - 1)
    if drift > _DRIFT:
        table.note(f"The machine changed by {drift:.0%} between the two measurements of {what}: take this run again.")


def bodies(photographs: Target) -> str:
    """What was sent, in words."""
    sizes = [file.stat().st_size for file in photographs.folder.glob("*.jpg")]
    return f"{len(sizes)} JPEG photographs of {fmean(sizes) / 1000:.0f} kB on average"
