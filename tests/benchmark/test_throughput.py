"""Requests per second over HTTP beside the bare forward pass of the same run, and what all but the model costs."""

from pathlib import Path
from statistics import fmean
from typing import Any, Final

import pytest

from tests.benchmark import processes
from tests.benchmark.answers import check_answers
from tests.benchmark.load import Target, closed_loop
from tests.benchmark.measured import WARM_S, bare_decode, bare_forward, bodies, measure, remark_on_drift
from tests.benchmark.options import NOOP, TINY, embedded_model, seconds
from tests.benchmark.report import Report, Table
from tests.benchmark.server import bare_http, running, service

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(240 + 20 * seconds())]

_CONNECTIONS: Final = (1, 8, 32)
_NOOP_CONNECTIONS: Final = 16


@pytest.mark.parametrize("name", ["embedded", "tiny"])
def test_requests_beside_the_bare_forward_pass(name: str, photographs: Target, report: Report, tmp_path: Path) -> None:
    table = report.table("Requests per second over HTTP beside the bare forward pass, same run")
    model, remark = embedded_model() if name == "embedded" else (TINY, None)
    if remark:
        table.note(remark)
    decoding = list(bare_decode(model, photographs).values())[-1]
    before = bare_forward(model)
    with running(service(model), tmp_path / "server.log") as server:
        target = photographs._replace(port=server.port)
        check_answers(server, target)
        about = server.get_json("/v1/model")
        runs = [measure(server, target, connections) for connections in _CONNECTIONS]
        pss_mb = processes.pss_bytes(server.pid) / 1e6
    after = bare_forward(model)
    used = [(each["engine"], each["precision"], each["lanes"]) for each in (before, about, after)]
    assert len(set(used)) == 1, f"the engine changed, so nothing can be compared: {used}"
    bare = _mean_of_best(before, after)
    bare["allowed_per_s"] = _allowed(bare["images_per_s"], before["cores"], decoding["cpu_ms"] / 1000)
    for run in runs:
        run["ratio"] = run["requests_per_s"] / bare["images_per_s"]
        run["share"] = run["requests_per_s"] / bare["allowed_per_s"]
        _row(table, model, run, bare["images_per_s"])
    table.note(
        f"{model} by {about['engine']} in {about['precision']} on {about['device']}: bare forward pass in batches of "
        f"{before['batch_size']}, lanes x threads {bare['way']}, {bare['before']:.1f} images/s before "
        f"and {bare['after']:.1f} after. Decoding takes {decoding['cpu_ms']:.2f} ms of a core; with the forward pass "
        f"on the same {before['cores']} cores that allows {bare['allowed_per_s']:.1f} images/s. "
        f"Load by {runs[0]['generator']}, {seconds()} s each; {bodies(photographs)}."
    )
    remark_on_drift(table, model, bare)
    figures = {
        "model": model,
        "bare": bare,
        "decoding": decoding,
        "bare_raw": [before, after],
        "http": runs,
        "pss_after_load_mb": pss_mb,
    }
    report.record(f"throughput_{name}", figures)
    assert all(run["requests_per_s"] > 0 and run["errors"] == 0 for run in runs), runs


def test_everything_but_the_model(photographs: Target, report: Report, tmp_path: Path) -> None:
    decoding = bare_decode(NOOP, photographs)
    before = _measure_bare_http(photographs, tmp_path / "before.log")
    with running(service(NOOP), tmp_path / "server.log") as server:
        target = photographs._replace(port=server.port)
        check_answers(server, target)
        noop = measure(server, target, _NOOP_CONNECTIONS)
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
        f"{noop['cpu_share']:.0%} of a core ({bare['cpu_share']:.0%} for the bare one); {bodies(photographs)}."
    )
    remark_on_drift(table, "bare HTTP", {"before": before["requests_per_s"], "after": after["requests_per_s"]})
    report.record("noop", {"noop": noop, "bare_http": [before, after], "decoding": decoding})
    assert noop["requests_per_s"] > 0 and noop["errors"] == before["errors"] == after["errors"] == 0


def _measure_bare_http(photographs: Target, log: Path) -> dict[str, Any]:
    with running(bare_http(), log) as server:
        target = photographs._replace(port=server.port)
        assert "bytes" in server.post_image("/v1/classify", b"1234")
        closed_loop(target, _NOOP_CONNECTIONS, WARM_S)
        cpu_s = processes.cpu_s(server.pid)
        figures = closed_loop(target, _NOOP_CONNECTIONS, seconds())
        used_s = processes.cpu_s(server.pid) - cpu_s
    return {**figures, "cpu_ms": 1000 * used_s / (figures["requests_per_s"] * seconds())}


def _mean_of_best(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The way to share the cores that is best on average, and its rates."""
    first, last = before["images_per_s"], after["images_per_s"]
    way = max(first, key=lambda key: first[key] + last[key])
    return {"way": way, "images_per_s": fmean((first[way], last[way])), "before": first[way], "after": last[way]}


def _allowed(images_per_s: float, cores: int, decode_cpu_s: float) -> float:
    """Images per second where nothing but decoding and the forward pass takes the cores; a GPU decodes nothing."""
    forward_core_s = cores / images_per_s
    return cores / (decode_cpu_s + forward_core_s)


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
        share_of_what_decode_and_forward_allow=run["share"],
        p50_ms=run["p50_ms"] if telling else None,
        p99_ms=run["p99_ms"] if telling else None,
        mean_batch=run["mean_batch"],
        server_CPU_ms__request=run["cpu_ms"],
        refused_503=run["refused"],
        errors=run["errors"],
    )
