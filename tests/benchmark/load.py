"""Owns loading a server from another process, closed or open loop; does not start servers or judge figures."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.benchmark.options import ROOT, closed_loop_generator

_GRACE_S: Final = 150  # beyond what a child was asked to measure: imports, exporting a model, the last answers
_SCRIPT: Final = Path(__file__).with_name("rotate.lua")
PATH: Final = "/v1/classify"


class Target(NamedTuple):
    """A listening server, and the folder of `number` photographs to send to it."""

    port: int
    folder: Path
    number: int


def run_child(
    command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
) -> tuple[str, float]:
    """The standard output of a child that measures for `seconds`, and the share of one core that it used.

    `environment`: variables besides our own. Raises RuntimeError if it fails or takes far longer.
    """
    before, started_at = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    try:
        child = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=seconds + _GRACE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{command} took more than {_GRACE_S} s too long") from error
    if child.returncode:
        raise RuntimeError(f"{command} failed:\n{child.stdout}\n{child.stderr[-2000:]}")
    after, passed_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started_at
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return child.stdout, used_s / passed_s


def run_module(
    module: str, seconds: float, *arguments: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON that `python -m tests.benchmark.<module>` prints. Raises RuntimeError."""
    output, _ = run_child([sys.executable, "-m", f"tests.benchmark.{module}", *arguments], seconds, environment)
    figures: dict[str, Any] = json.loads(output)
    return figures


def closed_loop(target: Target, connections: int, seconds: int) -> dict[str, Any]:
    """Connections that each send their next request once the last is answered, for whole seconds.

    Gives requests_per_s (those answered with 200), p50_ms, p99_ms (wrk: of all answers), refused (503), errors
    (everything else), cpu_share (of one core, the generator's) and generator.
    """
    choice = closed_loop_generator()
    wrk = shutil.which("wrk")
    if choice == "ours" or (choice == "auto" and wrk is None):
        ours = bench(target, seconds, "--connections", str(connections), "--warm-up", "0")
        errors = ours["errors"] + ours["timeouts"]
        return {**ours, "errors": errors, "requests_per_s": ours["ok"] / seconds, "generator": "ours"}
    if wrk is None:
        raise RuntimeError("BENCH_GENERATOR asks for wrk, which is not installed")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT)]
    url = f"http://127.0.0.1:{target.port}{PATH}"
    output, cpu_share = run_child([*command, url, "--", str(target.folder), str(target.number)], seconds)
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {**figures, "cpu_share": cpu_share, "generator": "wrk"}


def open_loop(
    target: Target, rate: float, seconds: float, deadline_s: float, seed: int, warm_up_s: float | None = None
) -> dict[str, Any]:
    """Poisson arrivals at `rate` per second that give up `deadline_s` after their scheduled arrival.

    What arrives in the first `warm_up_s`, the deadline if not given, does not count: until then the server's queue is
    still growing. Gives sent, offered (arrivals per second), goodput (answers in time per second), ok, p50_ms and
    p99_ms of those, refused (503), timeouts, errors, recovery_s (None: not within 15 s), lag_p99_ms and cpu_share of
    the generator.
    """
    warm_up_s = deadline_s if warm_up_s is None else warm_up_s
    arrivals = ["--rate", str(rate), "--seed", str(seed), "--warm-up", str(warm_up_s)]
    figures = bench(target, seconds, *arrivals, "--timeout-s", str(deadline_s), "--connections", "10000")
    return {**figures, "rate": rate, "offered": figures["sent"] / seconds, "goodput": figures["throughput_per_s"]}


def bench(target: Target, seconds: float, *arguments: str) -> dict[str, Any]:
    """What `vit-serve bench` measures, by the names of the functions above. Raises RuntimeError."""
    what = [f"http://127.0.0.1:{target.port}{PATH}", "--images", str(target.folder), "--seconds", str(seconds)]
    output, _ = run_child([sys.executable, "-m", "app", "bench", *what, "--json", "-", *arguments], seconds)
    run = json.loads(output)["run"]
    latency, late, errors = run["latency_ms"] or {}, run["late_ms"] or {}, run["errors"]
    timeouts = errors.pop("timeout", 0)
    refused = run["statuses"].pop("503", 0)
    others = {**run["statuses"], **errors}
    return {
        "ok": run["answered"],
        "sent": run["sent"],
        "throughput_per_s": run["throughput_per_s"],
        "p50_ms": latency.get("p50"),
        "p99_ms": latency.get("p99"),
        "refused": refused,
        "timeouts": timeouts,
        "errors": sum(others.values()),
        "kinds_of_errors": others,
        "recovery_s": run["recovery_s"],
        "lag_p99_ms": late.get("p99"),
        "cpu_share": run["cpu_share"],
    }
