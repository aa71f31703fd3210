"""Owns how many cores and how much memory this process may use, by affinity and control groups; does not take any."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")
_NO_LIMIT_BYTES: Final = 2**60  # version 1 writes nearly 2⁶³ for none


def allowed_cores(root: Path = _ROOT) -> int:
    """CPU cores that this process may use: those of its affinity mask, or fewer by a quota of time, rounded up.

    The quota is a container's `--cpus 1.5` or Kubernetes' limit, which the mask does not show: `cpu.max` of control
    groups of version 2, `cpu.cfs_quota_us` of version 1.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups(root, "cpu"):
        old = _numbers(group / "cpu.cfs_quota_us") + _numbers(group / "cpu.cfs_period_us")
        match _numbers(group / "cpu.max") or old:
            case [quota, period] if 0 < quota < math.inf:
                cores = min(cores, math.ceil(quota / period))
    return cores


def allowed_memory_bytes(root: Path = _ROOT) -> int | None:
    """The least limit on memory of this process's control groups; None where there is none."""
    files = [group / name for group in _groups(root, "memory") for name in ("memory.max", "memory.limit_in_bytes")]
    limits = [limit for file in files for limit in _numbers(file) if 0 < limit < _NO_LIMIT_BYTES]
    return int(min(limits)) if limits else None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it, whose limits hold too."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        mount = root / "sys/fs/cgroup"
        if controllers:
            if controller not in controllers.split(","):
                continue
            mount = mount / controllers
        own = mount / path.lstrip("/")
        # A container is told its path on the machine, and sees its own group as the root.
        group = own if own.is_dir() else mount
        yield group
        while group != mount:
            group = group.parent
            yield group


def _numbers(file: Path) -> list[float]:
    """The numbers in a file, `max` as infinity; none if it is not there."""
    try:
        return [math.inf if word == "max" else float(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []
