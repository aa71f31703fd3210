"""Owns what the process tells of itself: versions, and what garbage collection costs; does not collect."""

import gc
import platform
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from app.version import VERSION

_LIBRARIES: Final = ("torch", "openvino")


def versions() -> dict[str, str]:
    """Of the service, of Python, and of what computes; empty for what is not installed."""
    return {"version": VERSION, "python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


class _Stopwatch:
    def __init__(self) -> None:
        self.seconds = self._since = 0.0

    def __call__(self, phase: str, _: object) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._since = now
        else:
            self.seconds += now - self._since


@cache
def _stopwatch() -> _Stopwatch:
    watch = _Stopwatch()
    gc.callbacks.append(watch)
    return watch


def gc_seconds() -> float:
    """Spent collecting garbage, by the whole process, since this was first asked."""
    return _stopwatch().seconds
