"""Owns what the system says of processes: CPU time, memory, kinship; does not start or stop any."""

import os
import re
import resource
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PARENT, _FIRST_TIME, _LAST_TIME = 1, 11, 15  # places in /proc/PID/stat, counted from behind the command's name


def tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[_PARENT]), []).append(int(entry.name))
    found = [pid]
    for parent in found:  # grows while it is walked
        found += children.get(parent, [])
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds that the tree has used, those of ended and waited-for children included."""
    ticks = sum(int(value) for member in tree(pid) for value in _stat(member)[_FIRST_TIME:_LAST_TIME])
    return ticks / _TICKS_PER_S


def machine_cpu_s() -> float:
    """CPU seconds that all processes and the kernel have used since the machine started."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, (_PROC / "stat").read_text().splitlines()[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def own_cpu_s() -> float:
    """CPU seconds of this process and of all its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def pss_bytes(pid: int) -> int:
    """Proportional set size of the tree: pages shared with others count in shares."""
    total = 0
    for member in tree(pid):
        try:
            text = (_PROC / str(member) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
        if match := re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE):
            total += int(match[1]) * 1024
    return total


def others_mapping(library: str, pid: int) -> list[int]:
    """Processes outside the tree that have mapped `library`: they take a share of its pages, and PSS reads low."""
    own = set(tree(pid))
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) not in own:
            try:
                text = (entry / "maps").read_text(errors="replace")
            except OSError:  # ended meanwhile, or not ours to read
                continue
            if library in text:
                found.append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none if the process has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 1 :].split()
