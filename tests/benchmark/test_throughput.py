"""Requests per second over HTTP beside the bare forward pass of the same run, and what all but the model costs."""

from pathlib import Path
from statistics import fmean
from typing import Any, Final

import pytest

from tests.benchmark import processes
from tests.benchmark.answers import check_answers
from tests.benchmark.load import Target, closed_loop, run_module
from tests.benchmark.options import NOOP, TINY, embedded_model, seconds
from tests.benchmark.report import Report, Table
from tests.benchmark.server import Server, bare_http, running, service

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(240 + 20 * seconds())]

_CONNECTIONS: Final = (1, 8, 32)
_NOOP_CONNECTIONS: Final = 16
_WARM_S: Final = 1
_DRIFT: Final = 0.1  # between two measurements of the same; more than this and the run should be repeated


@pytest.mark.parametrize("name", ["embedded", "tiny"])
def test_requests_beside_the_bare_forward_pass(name: str, photographs: Target, report: Report, tmp_path: Path) -> None:
    table = report.table("Requests per second over HTTP beside the bare forward pass, same run")
    model, remark = embedded_model() if name == "embedded" else (TINY, None)
    if remark:
        table.note(remark)
    before = run_module("bare", seconds(), "forward", model, str(seconds()))
    with running(service(model), tmp_path / "server.log") as server:
        target = photographs._replace(port=server.port)
        check_answers(server, target)
        about = server.get_json("/v1/model")
        runs = [_measure(server, target, connections) for connections in _CONNECTIONS]
        pss_mb = processes.pss_bytes(server.pid) / 1e6
    after = run_module("bare", seconds(), "forward", model, str(seconds()))
    bare = _mean_of_best(before, after)
    for run in runs:
        run["ratio"] = run["requests_per_s"] / bare["images_per_s"]
        _row(table, model, run, bare["images_per_s"])
    table.note(
        f"{model} in {about['precision']} on {about['device']}: bare forward pass in batches of "
        f"{before['batch_size']}, lanes x threads {bare['way']}, {bare['before']:.1f} images/s before "
        f"and {bare['after']:.1f} after. "
        f"Load by {runs[0]['generator']}, {seconds()} s each; {_bodies(photographs)}."
    )
    _remark_on_drift(table, model, bare)
    figures = {"model": model, "bare": bare, "bare_raw": [before, after], "http": runs, "pss_after_load_mb": pss_mb}
    report.record(f"throughput_{name}", figures)
    assert all(run["requests_per_s"] > 0 and run["errors"] == 0 for run in runs), runs


def test_everything_but_the_model(photographs: Target, report: Report, tmp_path: Path) -> None:
    decoding = run_module("bare", seconds(), "decode", str(photographs.folder), str(seconds()))
    before = _measure_bare_http(photographs, tmp_path / "before.log")
    with running(service(NOOP), tmp_path / "server.log") as server:
        target = photographs._replace(port=server.port)
        check_answers(server, target)
        noop = _measure(server, target, _NOOP_CONNECTIONS)
    after = _measure_bare_http(photographs, tmp_path / "after.log")
    averaged = ("requests_per_s", "p50_ms", "p99_ms", "cpu_ms", "cpu_share")
    bare = {key: fmean((before[key], after[key])) for key in averaged}
    table = report.table("Everything but the model, 16 connections")
    for what, run in (("vit-serve with `noop`", noop), ("bare FastAPI, returns the body's length", bare)):
        table.row(
            what=what,
            requests__s=run["requests_per_s"],
            ratio_to_bare=run["requests_per_s"] / bare["requests_per_s"],
            p50_ms=run["p50_ms"],
            p99_ms=run["p99_ms"],
            server_CPU_ms__request=run["cpu_ms"],
        )
    for threads, figures in decoding.items():
        table.row(
            what=f"decode and resize alone, threads: {threads}",
            requests__s=figures["images_per_s"],
            ratio_to_bare=figures["images_per_s"] / bare["requests_per_s"],
            server_CPU_ms__request=figures["cpu_ms"],
        )
    decode_ms = list(decoding.values())[-1]["cpu_ms"]
    rest_ms = noop["cpu_ms"] - bare["cpu_ms"] - decode_ms
    table.note(
        f"Of {noop['cpu_ms']:.2f} ms of CPU time a request, {decode_ms:.2f} are decoding and resizing, "
        f"{bare['cpu_ms']:.2f} bare HTTP and {rest_ms:.2f} the rest of the service. {noop['refused']} refused, "
        f"{noop['errors']} errors. Mean batch {noop['mean_batch']:.1f}. Load by {noop['generator']}, which took "
        f"{noop['cpu_share']:.0%} of a core ({bare['cpu_share']:.0%} for the bare one); {_bodies(photographs)}."
    )
    _remark_on_drift(table, "bare HTTP", {"before": before["requests_per_s"], "after": after["requests_per_s"]})
    report.record("noop", {"noop": noop, "bare_http": [before, after], "decoding": decoding})
    assert noop["requests_per_s"] > 0 and noop["errors"] == before["errors"] == after["errors"] == 0


def _measure(server: Server, target: Target, connections: int) -> dict[str, Any]:
    """One closed loop with what it cost the server: cpu_ms a request, mean_batch."""
    closed_loop(target, connections, _WARM_S)
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


def _measure_bare_http(photographs: Target, log: Path) -> dict[str, Any]:
    with running(bare_http(), log) as server:
        target = photographs._replace(port=server.port)
        assert "bytes" in server.post_image("/v1/classify", b"1234")
        closed_loop(target, _NOOP_CONNECTIONS, _WARM_S)
        cpu_s = processes.cpu_s(server.pid)
        figures = closed_loop(target, _NOOP_CONNECTIONS, seconds())
        used_s = processes.cpu_s(server.pid) - cpu_s
    return {**figures, "cpu_ms": 1000 * used_s / (figures["requests_per_s"] * seconds())}


def _mean_of_best(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The way to share the cores that is best on average, and its rates."""
    first, last = before["images_per_s"], after["images_per_s"]
    way = max(first, key=lambda key: first[key] + last[key])
    return {"way": way, "images_per_s": fmean((first[way], last[way])), "before": first[way], "after": last[way]}


def _row(table: Table, model: str, run: dict[str, Any], bare: float) -> None:
    telling = run["generator"] != "wrk" or not run["refused"]  # wrk's percentiles take in refusals
    if run["refused"]:
        table.note("A client here asks again at once when it is refused, whatever Retry-After says.")
    table.row(
        model=model,
        connections=run["connections"],
        requests__s=run["requests_per_s"],
        bare_images__s=bare,
        ratio=run["ratio"],
        p50_ms=run["p50_ms"] if telling else None,
        p99_ms=run["p99_ms"] if telling else None,
        mean_batch=run["mean_batch"],
        server_CPU_ms__request=run["cpu_ms"],
        refused_503=run["refused"],
        errors=run["errors"],
    )


def _remark_on_drift(table: Table, what: str, rates: dict[str, Any]) -> None:
    drift = abs(rates["after"] / rates["before"] - 1)
    if drift > _DRIFT:
        table.note(f"The machine changed by {drift:.0%} between the two measurements of {what}: take this run again.")


def _bodies(photographs: Target) -> str:
    sizes = [file.stat().st_size for file in photographs.folder.glob("*.jpg")]
    return f"{len(sizes)} JPEG photographs of {fmean(sizes) / 1000:.0f} kB on average"
