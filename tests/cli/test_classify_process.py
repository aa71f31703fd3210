"""Owns `vit-serve classify` as a process of its own: killed, interrupted, left by its reader, with many files."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.training.pictures import plain

pytestmark = pytest.mark.operations

COMMAND = [sys.executable, "-m", "app", "classify", "--model", "noop", "--top-k", "1"]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """3,000 names of one picture, in three folders."""
    one = tmp_path / "one.png"
    one.write_bytes(plain(1))
    for number in range(3000):
        name = tmp_path / "many" / f"{number // 1000}" / f"{number:04}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        os.link(one, name)
    return tmp_path / "many"


def names(folder: Path) -> list[str]:
    return sorted(map(str, folder.rglob("*.png")))


@contextmanager
def started(
    *arguments: str | Path, stdin: int | None = None, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], cwd=ROOT, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def rows(out: Path) -> int:
    return out.read_bytes().count(b"\n") if out.exists() else 0


def wait_for_rows(out: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    while rows(out) < count:
        assert process.poll() is None
        time.sleep(0.02)


def test_a_run_that_is_killed_again_and_again_answers_each_once_in_order(many: Path, tmp_path: Path):
    out = tmp_path / "out.jsonl"
    for least in (1, 800, 1600):
        with started(many, "--out", out, "--resume") as process:
            wait_for_rows(out, least, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert rows(out) < 3000
    with out.open("ab") as file:
        file.write(b'{"path": "cut of')
    subprocess.run([*COMMAND, many, "--out", out, "--resume"], cwd=ROOT, check=True, capture_output=True)
    assert [json.loads(line)["path"] for line in out.read_text().splitlines()] == names(many)


def test_after_an_interrupt_what_is_answered_is_written(many: Path, tmp_path: Path):
    out = tmp_path / "out.csv"
    with started(many, "--out", out) as process:
        wait_for_rows(out, 2, process)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"not all are done, the same command with --resume goes on\n" in told
    assert b"Traceback" not in told
    paths = [line.split(",")[0] for line in out.read_text().splitlines()[1:]]
    assert 0 < len(paths) < 3000
    assert paths == names(many)[: len(paths)]


def test_an_interrupt_does_not_wait_for_a_pipe(tmp_path: Path):
    with started("--from-list", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"noop" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert b"Traceback" not in process.stderr.read()


def test_a_list_is_answered_while_it_is_written(many: Path):
    command = ("--from-list", "-", "--format", "jsonl")
    with started(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for name in names(many)[:3]:
            process.stdin.write(name.encode() + b"\n")
            process.stdin.flush()
            time.sleep(1.1)  # as long as answers may wait
        process.stdin.write(names(many)[3].encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["path"] == names(many)[0]


def test_a_reader_that_has_seen_enough_is_no_error(many: Path):
    with started(many, "--format", "jsonl", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 1
        told = process.stderr.read()
    assert told.count(b"\n") == 1 and told.startswith(b"vit-serve classify: note: noop")


def test_memory_does_not_grow_with_the_number_of_images(many: Path, tmp_path: Path):
    """Between a third of them and all, by less than 4 MiB: of a name 32 bytes are kept, and its answer has left."""
    out, seen = tmp_path / "out.jsonl", dict[int, float]()
    with started(many, "--out", out) as process:
        while process.poll() is None:
            time.sleep(0.05)
            status = Path(f"/proc/{process.pid}/status").read_text()
            if "VmRSS:" in status:
                seen[rows(out)] = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    assert rows(out) == 3000
    early = max(mib for count, mib in seen.items() if count <= 1500)
    late = max(mib for count, mib in seen.items() if count > 1500)
    assert late - early < 4
