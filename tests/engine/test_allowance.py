import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.engine.allowance import allowed_cores, allowed_memory_bytes
from tests.benchmark.options import ROOT

MASK = len(os.sched_getaffinity(0))
GIBIBYTE = 2**30


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A file tree as the kernel shows it."""
    for name, content in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{n}": c for n, c in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, MASK),
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 1),
        ("0::/on/the/machine\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, MASK),
        ("0::/\n", {"cpu.max": "100001 100000\n"}, min(2, MASK)),
        (
            "3:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/x/cpu.cfs_period_us": "1\n"},
            MASK,
        ),
        ("3:cpu:/x\n0::/\n", {"cpu/cpu.cfs_quota_us": "1000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ("3:cpuset:/x\n", {"cpuset/x/cpu.cfs_quota_us": "1000\n"}, MASK),
        ("0::/\n", {"cpu.max": "nonsense\n"}, MASK),
        ("", {}, MASK),
    ],
)
def test_cores(tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    assert allowed_cores(machine(tmp_path, groups, files)) == cores


@pytest.mark.parametrize(
    ("groups", "files", "nbytes"),
    [
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/\n", {"memory.max": f"{GIBIBYTE}\n"}, GIBIBYTE),
        ("0::/a/b\n", {"a/b/memory.max": f"{2 * GIBIBYTE}\n", "a/memory.max": f"{GIBIBYTE}\n"}, GIBIBYTE),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("4:memory:/x\n", {"memory/memory.limit_in_bytes": f"{GIBIBYTE}\n"}, GIBIBYTE),
    ],
)
def test_memory(tmp_path: Path, groups: str, files: dict[str, str], nbytes: int | None) -> None:
    assert allowed_memory_bytes(machine(tmp_path, groups, files)) == nbytes


def test_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert allowed_cores(tmp_path) == MASK
    assert allowed_memory_bytes(tmp_path) is None


@pytest.fixture
def group() -> Iterator[dict[str, Path]]:
    """A real control group of version 1 or 2, by controller, with half a core and 1 GiB."""
    base, name = Path("/sys/fs/cgroup"), f"vit-serve-{uuid.uuid4().hex[:8]}"
    unified = (base / "cgroup.controllers").exists()
    made = {key: (base if unified else base / key) / name for key in ("cpu", "memory")}
    values = (
        {"cpu": {"cpu.max": "50000 100000"}, "memory": {"memory.max": str(GIBIBYTE)}}
        if unified
        else {
            "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"},
            "memory": {"memory.limit_in_bytes": str(GIBIBYTE)},
        }
    )
    try:
        for key, folder in made.items():
            folder.mkdir(exist_ok=True)
            for file, value in values[key].items():
                (folder / file).write_text(value)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield made
    for folder in set(made.values()):
        folder.rmdir()


def test_a_real_control_group(group: dict[str, Path]) -> None:
    join = "".join(f"echo $$ > {folder}/cgroup.procs; " for folder in set(group.values()))
    code = "from app.engine.allowance import *; print(allowed_cores(), allowed_memory_bytes())"
    command = ["sh", "-c", f'{join} exec "$0" -c "$1"', sys.executable, code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["1", str(GIBIBYTE)]
