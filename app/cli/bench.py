"""Owns `vit-serve bench`: options and the order of what is done; does not send, compute or draw."""

import asyncio
import shlex
import signal
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.errors import SetupError, printable

if TYPE_CHECKING:
    from app.load.contracts import Asking
    from app.load.document import Subject
    from app.load.figures import Figures
    from app.load.peak import Peak
    from app.load.run import Load
    from app.load.target import Target

_INTERRUPTED: Final = 130
_BUSY_STATUSES: Final = (429, 503, 504)  # of a server that would answer at another time
_PEAK_DEADLINE_MS: Final = 1000.0
_OPEN_CONNECTIONS, _CLOSED_CONNECTIONS, _PROBING_CONNECTIONS = 1000, 8, 32
_PEAK_SECONDS, _SECONDS, _PROBING_SECONDS = 5.0, 10.0, 2.0
_SPARE_FILES: Final = 64
_MOST_SECONDS: Final = 3600.0  # 26 bytes are kept of each request
_DESCRIPTION: Final = (
    "Loads a server with photographs and tells its throughput, latency, refusals and errors: of vit-serve, and by "
    "--api of any other, so that they can be compared."
)
_EPILOG: Final = (
    "Without --rate it is a closed loop: each connection sends its next request once the last is answered. That shows "
    "the most a server can do, but a server that stalls stalls its clients too, and what they did not send meanwhile "
    "is missing from the percentiles. With --rate requests are sent at their instants whatever the server does, and "
    "latency counts from those. --find-peak raises that rate until fewer than 99 % are answered in time, or the queue "
    "grows. Let client and server run on machines of their own where you can: on one they share its cores. The whole "
    "is repeatable: `arguments` of the JSON document has the exact words."
)


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    from app.load.contracts import APIS

    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("url", metavar="URL", help="of the server; with a path, that is asked instead of --api's own")
    load = parser.add_argument_group("load")
    number: dict[str, Any] = {"type": float, "metavar": "N"}
    load.add_argument(
        "--connections", type=int, metavar="N", help="closed loop: clients (8); open loop: at once at most (1000)"
    )
    load.add_argument("--rate", **number, help="open loop: requests a second; with --find-peak the first to try")
    load.add_argument("--arrivals", choices=("poisson", "constant"), default="poisson", help="open loop (poisson)")
    load.add_argument("--find-peak", action="store_true", help="search the highest rate that is answered in time")
    load.add_argument("--seconds", **number, help="that each figure is measured (10; with --find-peak 5)")
    load.add_argument("--warm-up", default=1.0, **number, help="seconds of the same load before, not counted (1)")
    load.add_argument(
        "--deadline-ms", **number, help="in time is what is answered so soon; sent to vit-serve (--find-peak: 1000)"
    )
    load.add_argument("--timeout-s", default=30.0, **number, help="after which a client gives up (30)")
    load.add_argument("--seed", type=int, default=0, metavar="N", help="of poisson's chance (0)")
    asking = parser.add_argument_group("what is sent")
    asking.add_argument("--images", type=Path, metavar="FOLDER", help="your own, 100 at most (four of ours)")
    asking.add_argument(
        "--api", choices=APIS, default="vit", help="vit-serve, Open Inference Protocol (binary, JSON) … (vit)"
    )
    asking.add_argument("--model", default="vit", metavar="NAME", help="in the paths of oip and torchserve (vit)")
    asking.add_argument(
        "--field",
        metavar="NAME",
        help="oip: input's name, maybe with its shape (image, or image:1,1); litserve: JSON key (image_bytes); "
        "multipart: form field (file)",
    )
    asking.add_argument("--header", action="append", default=[], metavar="LINE", help="'Name: value', more than once")
    asking.add_argument("--ca", type=Path, metavar="FILE", help="certificates to trust, for https")
    asking.add_argument("--insecure", action="store_true", help="trust any certificate")
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write all figures there; - instead of the table")
    output.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots there")


def run(args: Namespace) -> int:
    """Measures and tells; returns the exit code: 1 if nothing was answered. Raises ArgumentError, SetupError."""
    import uvloop

    _check(args)
    return uvloop.run(_run(args))


def _check(args: Namespace) -> None:
    """Raises ArgumentError for what is out of its range."""
    ranges = {
        "connections": (1, 100_000),
        "rate": (0.01, 1e6),
        "seconds": (0.1, _MOST_SECONDS),
        "warm_up": (0, _MOST_SECONDS),
        "deadline_ms": (0.1, 1e7),
        "timeout_s": (0.01, _MOST_SECONDS),
        "seed": (0, 2**63),
    }
    for name, (least, most) in ranges.items():
        value = getattr(args, name)
        if value is not None and not least <= value <= most:
            raise ArgumentError(None, f"--{name.replace('_', '-')} is {value:g}, but it should be {least:g} … {most:g}")
    if args.json == args.html == Path("-"):
        raise ArgumentError(None, "--json and --html cannot both go to standard output")


async def _run(args: Namespace) -> int:
    from app.cli.images import read_images
    from app.load.contracts import Asking, path_of, requests_of
    from app.load.document import document
    from app.load.target import located, target_of

    target = target_of(args.url, args.header, args.ca, args.insecure)
    deadline_ms = _PEAK_DEADLINE_MS if args.find_peak and args.deadline_ms is None else args.deadline_ms
    asking = Asking(args.api, args.model, args.field, deadline_ms)
    target = await located(replace(target, path=target.path or path_of(asking)))
    pictures = read_images(args.images)
    requests = requests_of(target, asking, pictures)
    await _probe(target, requests[0], args.timeout_s)
    subject = await _subject(args, target, asking, [len(picture) for picture in pictures])
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, _on_interrupt, loop, stop)
    load = _load(args)
    _allow_files(load.connections)
    peak = None
    if args.find_peak:
        peak, figures = await _find_peak(target, requests, load, deadline_ms, stop)
    else:
        figures = await _measure(target, requests, load, deadline_ms, stop)
    if figures is None:
        sys.stderr.write("vit-serve bench: interrupted before anything was measured\n")
        return _INTERRUPTED
    _tell(args, document(_words(), subject, load, figures, peak, stop.is_set()))
    return _INTERRUPTED if stop.is_set() else 0 if figures.answered else 1


def _words() -> list[str]:
    return sys.argv[1:]


def _load(args: Namespace) -> "Load":
    from app.load.run import Load

    is_open = args.find_peak or args.rate is not None
    return Load(
        seconds=args.seconds or (_PEAK_SECONDS if args.find_peak else _SECONDS),
        warm_up_s=args.warm_up,
        connections=args.connections or (_OPEN_CONNECTIONS if is_open else _CLOSED_CONNECTIONS),
        patience_s=args.timeout_s,
        rate=args.rate,
        arrivals=args.arrivals,
        seed=args.seed,
    )


def _on_interrupt(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """The first time what was measured is told; a second time it ends at once."""
    stop.set()
    loop.remove_signal_handler(signal.SIGINT)


def _allow_files(connections: int) -> None:
    """As many as the system lets this process have, if it needs them."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise SetupError(f"{connections} connections are more than the {hard} files that a process may open here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _probe(target: "Target", request: bytes, patience_s: float) -> None:
    """Raises SetupError if the server does not do what is asked for."""
    from app.load.fetch import fetch

    answer = await fetch(target, request, patience_s)
    if not 200 <= answer.code < 300 and answer.code not in _BUSY_STATUSES:
        raise SetupError(printable(f"POST {target.path} of {target.host}, port {target.port}: {answer}"))


async def _subject(args: Namespace, target: "Target", asking: "Asking", sizes: Sequence[int]) -> "Subject":
    import json

    from app.load.document import Subject
    from app.load.fetch import get

    server = None
    if asking.api == "vit" and (answer := await get(target, "/v1/model")).code == 200:
        try:
            told = json.loads(answer.body)
            names = ("name", "device", "engine", "precision", "lanes", "max_batch_size")
            server = {name: told[name] for name in names if isinstance(told.get(name), str | int)}
        except (ValueError, AttributeError):
            server = None
    return Subject(args.url, asking.api, target.path, len(sizes), sum(sizes) / len(sizes), server)


async def _measure(
    target: "Target", requests: Sequence[bytes], load: "Load", deadline_ms: float | None, stop: asyncio.Event
) -> "Figures | None":
    """None if it was interrupted before anything came of it."""
    from app.load.figures import figures_of
    from app.load.run import run_load

    measured = await run_load(target, requests, load, stop)
    if stop.is_set() and measured.end <= measured.begin:
        return None
    return figures_of(measured, load, deadline_ms)


async def _find_peak(
    target: "Target", requests: Sequence[bytes], load: "Load", deadline_ms: float | None, stop: asyncio.Event
) -> "tuple[Peak, Figures | None]":
    """The search, and the run at the highest rate that held, or else the last."""
    from app.load.peak import find_peak

    start = load.rate
    if start is None:
        probing = replace(load, connections=_PROBING_CONNECTIONS, seconds=_PROBING_SECONDS)
        first = await _measure(target, requests, probing, deadline_ms, stop)
        start = first.throughput_per_s / 2 if first else 1.0

    async def measure(rate: float) -> "Figures | None":
        figures = None
        if not stop.is_set():
            figures = await _measure(target, requests, replace(load, rate=rate), deadline_ms, stop)
        if figures is None or stop.is_set():
            return None
        sys.stderr.write(f"vit-serve bench: {rate:,.1f}/s: {figures.in_time or 0:.2%} in time\n")
        return figures

    peak = await find_peak(start, measure)
    held = [step for step in peak.steps if step.held and step.rate == peak.rate]
    chosen = held[-1:] or peak.steps[-1:]
    return peak, chosen[0].figures if chosen else None


def _tell(args: Namespace, said: dict[str, Any]) -> None:
    from app.cli.bench_report import page, write_table

    if args.json == Path("-"):
        _write(args.json, said)
    else:
        sys.stdout.write(f"vit-serve {shlex.join(said['arguments'])}\n")
        write_table(said)
        if args.json is not None:
            _write(args.json, said)
    if args.html is not None:
        _write(args.html, page(said))


def _write(path: Path, value: dict[str, Any] | str) -> None:
    import json

    text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    if path == Path("-"):
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(printable(f"{path}: it cannot be written: {error.strerror}")) from error
