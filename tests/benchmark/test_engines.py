"""One table of engines and number formats: the forward pass alone, requests over HTTP, CPU time and memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from app.checkpoints.located import locate
from app.engine.runners.openvino import this_cpu
from app.graphs.folder import GRAPHS_NAME
from tests.benchmark import processes
from tests.benchmark.answers import check_answers
from tests.benchmark.load import Target
from tests.benchmark.measured import bare_forward, bodies, measure
from tests.benchmark.options import BASE, TINY, embedded_model, large, seconds
from tests.benchmark.report import Report, Table
from tests.benchmark.server import ServerFailed, running, service

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600 + 60 * seconds())]

_CONNECTIONS: Final = (1, 16)
_TITLE: Final = "Engines and number formats, 1 and 16 connections"


class Way(NamedTuple):
    """What is asked for, as the options of these names say it."""

    engine: str
    precision: str

    @property
    def environment(self) -> dict[str, str]:
        """In the variables that the service reads."""
        return {"VIT_ENGINE": self.engine, "VIT_PRECISION": self.precision}


_TORCH_AUTO: Final = Way("torch", "auto")


def ways(model: str) -> Iterator[Way]:
    """Those that this processor and this model allow; the first is what the others are compared with."""
    yield _TORCH_AUTO
    yield Way("torch", "float32")
    yield Way("openvino", "float32")
    if this_cpu().bfloat16:
        yield Way("openvino", "bfloat16")
    directory = locate(model).directory
    if directory and (directory / GRAPHS_NAME / "int8.xml").is_file():
        yield Way("openvino", "int8")
    yield Way("auto", "auto")


@pytest.mark.parametrize("name", ["embedded", "tiny", "base"])
def test_engines(name: str, photographs: Target, report: Report, tmp_path: Path) -> None:
    if name == "base" and not large():
        pytest.skip("ViT-B/16 only with BENCH_LARGE=1")
    model, remark = embedded_model() if name == "embedded" else ({"tiny": TINY, "base": BASE}[name], None)
    table = report.table(_TITLE)
    if remark:
        table.note(remark)
    found: dict[Way, dict[str, Any]] = {}
    for number, way in enumerate(ways(model)):
        try:
            found[way] = _measure(model, way, photographs, tmp_path / f"{number}.log")
        except (RuntimeError, ServerFailed) as error:  # a format in which this network's answers are not right
            reason = str(error).strip().rpartition("\n")[2]
            table.note(f"{model}, {way.engine} {way.precision}: cannot be served: {reason}")
    compared = found[_TORCH_AUTO]["http"][-1]["requests_per_s"]
    for way, figures in found.items():
        _row(table, model, way, figures, compared)
    table.note(f"{seconds()} s for each figure; {bodies(photographs)}. CPU time a request at 16 connections.")
    report.record(f"engines_{name}", {"model": model, "ways": [{**way._asdict(), **found[way]} for way in found]})
    assert Way("openvino", "float32") in found and Way("auto", "auto") in found
    # Not that there were answers: a second is too short for 16 connections to ViT-B/16.
    assert all(run["errors"] == 0 for each in found.values() for run in each["http"])


def _measure(model: str, way: Way, photographs: Target, log: Path) -> dict[str, Any]:
    """Raises RuntimeError or ServerFailed if it cannot be served so."""
    bare = bare_forward(model, way.environment)
    with running(service(model), log, environment=way.environment) as server:
        target = photographs._replace(port=server.port)
        check_answers(server, target)
        about = server.get_json("/v1/model")
        runs = [measure(server, target, connections) for connections in _CONNECTIONS]
        pss_mb = processes.pss_bytes(server.pid) / 1e6
    chosen = f"{about['engine']} {about['precision']} x{about['lanes']}"
    return {"bare": bare, "http": runs, "pss_after_load_mb": pss_mb, "chosen": chosen}


def _row(table: Table, model: str, way: Way, figures: dict[str, Any], compared: float) -> None:
    alone, crowd = figures["http"]
    table.row(
        model=model,
        engine=f"{way.engine} {way.precision}" if way.engine != "auto" else "auto",
        runs=figures["chosen"],
        bare_forward_images__s=max(figures["bare"]["images_per_s"].values()),
        requests__s_at_1=alone["requests_per_s"],
        requests__s_at_16=crowd["requests_per_s"],
        p50_ms_at_1=alone["p50_ms"],
        p99_ms_at_1=alone["p99_ms"],
        CPU_ms__request=crowd["cpu_ms"],
        PSS_MB_after_load=figures["pss_after_load_mb"],
        ratio_to_torch_auto=crowd["requests_per_s"] / compared if compared else None,
    )
