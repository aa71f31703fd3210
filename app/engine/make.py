"""Owns the order to a child process to make a model's graphs; the serving process never imports torch for it.

It runs `app.engine.make_here`, with an Order as JSON on standard input, and answers in the last line
of standard output with {"candidates": …} or {"error": class of `errors`, "message": …}.
"""

import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final

from app import errors
from app.domain import Candidate
from app.errors import ExportFailed, ExportInterrupted, VitServeError

_TIMEOUT_S: Final = 1800
# It finds modules where this process does: `-m` would look first into the working directory, whatever lies there.
_CHILD: Final = (
    "import runpy, sys; sys.path[:] = sys.argv[1:]; runpy.run_module('app.engine.make_here', run_name='__main__')"
)


@dataclass(frozen=True, slots=True)
class Order:
    """Make the graphs of `model` in `directory`, None: do not; then measure torch in each of `precisions`."""

    model: str
    key: str
    directory: str | None
    precisions: tuple[str, ...]
    cores: int
    lanes: int
    max_batch_size: int
    strict: bool  # leave out what does not answer as float32 does
    seconds: float  # to measure each for


def torch_is_installed() -> bool:
    """Whether `make` can do anything; torch is not imported to find out."""
    return importlib.util.find_spec("torch") is not None


def make(order: Order) -> tuple[Candidate, ...]:
    """Has it done by a child; returns how fast torch is.

    Raises ExportFailed, ExportInterrupted, what `load_model` raises, and OSError where the directory cannot be written.
    """
    command = [sys.executable, "-P", "-c", _CHILD, *sys.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            out, err = child.communicate(json.dumps(asdict(order)).encode(), _TIMEOUT_S)
        except BaseException as error:  # also a SIGTERM to this process, which then shall not wait for the child
            child.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise ExportInterrupted(f"exporting took longer than {_TIMEOUT_S} s") from error
            raise
    try:
        answer: dict[str, Any] = json.loads(out.rpartition(b"\n")[2] or out.strip().rpartition(b"\n")[2])
    except ValueError as error:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        raise ExportInterrupted(
            f"the exporting process ended with {child.returncode}: {last or 'no reason'}"
        ) from error
    if answer.get("error") == OSError.__name__:
        raise OSError(answer["message"])
    if answer.get("error"):
        kind: type[VitServeError] = getattr(errors, answer["error"], ExportFailed)
        raise kind(answer["message"])
    return tuple(Candidate(**each) for each in answer["candidates"])
