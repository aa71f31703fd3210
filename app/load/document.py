"""Owns what a bench says to programs: one JSON document with a versioned schema; does not print or measure."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from app.load.figures import Figures
from app.load.peak import Peak
from app.load.run import Load
from app.version import VERSION

SCHEMA: Final = "vit-serve-bench/1"  # a field that goes or changes its meaning makes it 2; new ones do not


@dataclass(frozen=True, slots=True)
class Subject:
    """What was loaded. `server`: what it says of itself, of vit-serve's /v1/model; None of others."""

    url: str
    api: str
    path: str
    images: int
    mean_bytes: float
    server: dict[str, Any] | None


def document(
    arguments: Sequence[str], subject: Subject, load: Load, figures: Figures, peak: Peak | None, interrupted: bool
) -> dict[str, Any]:
    """`arguments`: the exact words after `vit-serve`. `run` is the one at the peak where that was searched for."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "arguments": list(arguments),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "target": asdict(subject),
        "load": asdict(load),
        "interrupted": interrupted,
        "run": asdict(figures),
        "search": None if peak is None else asdict(peak),
    }
