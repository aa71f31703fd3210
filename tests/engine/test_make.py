"""Owns the tests of engine/make.py."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain import Candidate
from app.engine.make import Order, make, torch_is_installed
from app.errors import ExportFailed, ExportInterrupted, HubError, PackageError, SetupError
from app.graphs.folder import read_description, read_graphs
from tests.graphs.tiny import LABELS, SPEC, copied, ill_conditioned, saved

ROOT = Path(__file__).parents[2]
LONG_S = 40.0  # which no test here waits for
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")


def order(model: Path, directory: Path | None = None, precisions: tuple[str, ...] = (), seconds: float = 0.02) -> Order:
    return Order(str(model), "the key", str(directory) if directory else None, precisions, 2, 2, 4, True, seconds)


def child_of(process: int) -> int:
    """Its child that makes graphs, once there is one."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            for child in path.read_text().split():
                if b"app.engine.make_here" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        time.sleep(0.01)
    raise AssertionError("there is no child")


def runs(process: int) -> bool:
    """What has ended may wait for a parent to notice."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Has another program make the graphs."""
    path = tmp_path / "child"
    path.write_text(f"#!/bin/sh\ncat >/dev/null\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_child_makes_graphs_and_measures_torch(bare: Path, tmp_path: Path) -> None:
    rates = make(order(bare, tmp_path / "graphs", ("float32", "bfloat16")))
    assert [(each.engine, each.precision, each.lanes) for each in rates] == [
        ("torch", "float32", 2),
        ("torch", "bfloat16", 2),
    ]
    assert all(each.why_not is None and each.images_per_s for each in rates)
    graphs = read_graphs(tmp_path / "graphs", "the key")
    assert graphs.paths["float32"].is_file()
    description, parameters = read_description(tmp_path / "graphs")
    assert (description.labels, description.preprocess) == (LABELS, SPEC)
    assert parameters == 5203


def test_a_broken_package_is_said_to_be_one(bare: Path, tmp_path: Path) -> None:
    broken = copied(bare, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(PackageError, match=r"model\.safetensors: SHA-256 is") as caught:
        make(order(broken, tmp_path / "graphs"))
    assert type(caught.value) is PackageError


def test_a_network_that_openvino_computes_otherwise_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="logits differ from torch's by") as caught:
        make(order(saved(tmp_path / "ill", ill_conditioned()), tmp_path / "graphs", ("float32",)))
    assert type(caught.value) is ExportFailed  # that is no accident


def test_a_place_that_cannot_be_written_is_no_fault_of_the_network(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="the graphs cannot be written: Not a directory"):
        make(order(bare, tmp_path / "file" / "graphs"))


@on_linux
def test_a_child_that_is_killed_proves_nothing(bare: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(make, order(bare, None, ("float32",), LONG_S))
        os.kill(child_of(os.getpid()), signal.SIGKILL)
        with pytest.raises(ExportInterrupted, match="ended with -9"):
            made.result(timeout=10)


INTERRUPTED = """
import signal, sys
from app.engine.make import Order, make
def leave(*_):
    raise SystemExit(3)
signal.signal(signal.SIGTERM, leave)
make(Order(sys.argv[1], "the key", None, ("float32",), 1, 1, 1, True, float(sys.argv[2])))
"""


@on_linux
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 3), (signal.SIGINT, -signal.SIGINT)])
def test_who_is_interrupted_takes_the_child_along(bare: Path, number: int, code: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(bare), str(LONG_S)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as parent:
        child = child_of(parent.pid)
        time.sleep(0.3)  # until it is known to its parent
        parent.send_signal(number)
        assert parent.wait(timeout=10) == code
    until = time.monotonic() + 5  # to give its memory back takes a moment
    while runs(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not runs(child)


def test_a_child_that_takes_too_long_is_ended(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.make._TIMEOUT_S", 0.1)
    started_at = time.monotonic()
    with pytest.raises(ExportInterrupted, match="took longer than"):
        make(order(bare, None, ("float32",), LONG_S))
    assert time.monotonic() - started_at < 10


CANDIDATE = {"engine": "torch", "precision": "float32", "lanes": 2, "images_per_s": 7.5, "why_not": None}


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_what_libraries_print_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    text = 'Progress 100 %\n{"candidates": "none"}\n' + json.dumps({"candidates": [CANDIDATE]}) + end
    answering(tmp_path, monkeypatch, f"printf %s {shlex.quote(text)}")
    assert make(order(tmp_path)) == (Candidate("torch", "float32", 2, 7.5),)


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ("exit 0", ExportInterrupted, "^the exporting process ended with 0: no reason$"),
        ("echo first >&2; echo last words >&2; exit 1", ExportInterrupted, "ended with 1: last words$"),
        ("echo half an answ", ExportInterrupted, "ended with 0: no reason"),
        ("kill -TERM $$", ExportInterrupted, "ended with -15"),
        ("""echo '{"error": "HubError", "message": "it is gone"}'""", HubError, "^it is gone$"),
        ("""echo '{"error": "ExportFailed", "message": "differs"}'""", ExportFailed, "^differs$"),
        ("""echo '{"error": "OSError", "message": "it is full"}'""", OSError, "^it is full$"),
        ("""echo '{"error": "FutureError", "message": "unheard of"}'""", ExportFailed, "^unheard of$"),
    ],
)
def test_errors_come_back_as_what_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[Exception], message: str
) -> None:
    answering(tmp_path, monkeypatch, script)
    with pytest.raises(kind, match=message) as caught:
        make(order(tmp_path))
    assert type(caught.value) is kind


def test_every_error_of_a_start_can_come_back() -> None:
    """By their names, which therefore must be in the one module of errors."""
    from app import errors

    for kind in SetupError.__subclasses__():
        assert getattr(errors, kind.__name__) is kind


def test_torch_is_found_without_importing_it(tmp_path: Path) -> None:
    assert torch_is_installed()
    code = (
        "import sys; from app.engine.make import torch_is_installed as t; assert t(); "
        "assert 'torch' not in sys.modules; sys.path[:] = [sys.argv[1]]; sys.meta_path[-1:] = []; print(t())"
    )
    ended = subprocess.run([sys.executable, "-c", code, ROOT], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert ended.stdout == "False\n", ended.stderr


def test_an_order_survives_the_way_to_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "order.json"
    answering(tmp_path, monkeypatch, "echo '{\"candidates\": []}'")
    (tmp_path / "child").write_text(f"#!/bin/sh\ncat >{shlex.quote(str(path))}\necho '{{\"candidates\": []}}'\n")
    sent = replace(order(tmp_path, tmp_path, ("float32", "bfloat16")), model="hf-hub:us/große@0123")
    assert make(sent) == ()
    document = json.loads(path.read_text())
    assert Order(**{**document, "precisions": tuple(document["precisions"])}) == sent
