"""Owns a server that tells nobody anything, to measure what the telling costs; does not measure.

Run as `-m tests.benchmark.silent serve …`.
"""

import sys

from app.api.observers import Observers
from app.cli.main import main
from app.telemetry.metrics import Metrics


def silence() -> None:
    """Of what is told for every request and image nothing is left but the call."""
    for name in ("stage", "batch", "job", "answer"):
        setattr(Metrics, name, lambda *_: None)
    Observers.end = lambda *_: None  # type: ignore[method-assign]


if __name__ == "__main__":
    silence()
    sys.exit(main())
