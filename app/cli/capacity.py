"""Owns `vit-serve capacity`: options, and what is printed; does not measure or simulate itself."""

import shlex
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.errors import SetupError, printable

if TYPE_CHECKING:
    from app.capacity.arrivals import Arrivals
    from app.capacity.result import Row, Total
    from app.capacity.simulate import Plan
    from app.capacity.times import ServiceTimes

_MEASURED: Final = (
    "model",
    "device",
    "engine",
    "precision",
    "threads",
    "max_batch_size",
    "decode_threads",
    "max_wait_ms",
)
_EXACT_IMAGES: Final = 200_000
_DESCRIPTION: Final = (
    "Tells how many replicas a load needs, what they cost and how long their answers take. First --measure TIMES on a "
    "machine like those that will serve; then TIMES with arrivals and who scales. Replicas are simulated by its own "
    "rules, autoscalers by those of Kubernetes and KEDA."
)
_EPILOG: Final = (
    f"Up to {_EXACT_IMAGES:,} images are simulated one by one, in every replica. Beyond that, or with --fluid, each "
    "replica does in each second what a simulated one does at that load for ever; admission bounds its queue to a "
    "second, so little is lost, and a fleet of any size takes the same few seconds."
)


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    from app.cli.options import add_settings

    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("times", type=Path, nargs="?", metavar="TIMES", help="service times, as --measure writes them")
    _add_arrivals(parser)
    _add_replicas(parser)
    _add_cost(parser)
    measuring = parser.add_argument_group("measuring, instead of simulating")
    measuring.add_argument(
        "--measure", type=Path, metavar="FILE", help="measure service times here and write them there"
    )
    measuring.add_argument(
        "--images", type=Path, metavar="FOLDER", help="JPEG, PNG … such as come (four photographs of ours)"
    )
    measuring.add_argument("--seconds", type=float, default=5.0, metavar="S", help="that each figure is measured (5)")
    add_settings(parser, _MEASURED)


def _add_arrivals(parser: ArgumentParser) -> None:
    load = parser.add_argument_group("arrivals")
    load.add_argument("--rate", type=float, metavar="N", help="images a second, on average")
    load.add_argument("--profile", choices=("steady", "diurnal"), default="steady", help="the rate's course (steady)")
    load.add_argument(
        "--swing",
        type=float,
        default=0.6,
        metavar="SHARE",
        help="of diurnal: 0.6 is 1.6 times the rate at 14:00, 0.4 at 02:00",
    )
    load.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="recorded: a line for each image with its instant, or CSV of seconds,images_per_s",
    )
    load.add_argument(
        "--times-trace", type=float, default=1.0, metavar="N", help="so many times as many as the trace has (1)"
    )
    load.add_argument("--duration", metavar="TIME", help="with --rate: 90s, 15m, 24h, 7d (1h; diurnal 24h)")
    load.add_argument("--seed", type=int, default=0, metavar="N", help="of what is left to chance (0)")


def _add_replicas(parser: ArgumentParser) -> None:
    scale = parser.add_argument_group("replicas")
    scale.add_argument("--replicas", type=int, metavar="N", help="a fixed number, or how many there are at first")
    scale.add_argument(
        "--autoscaler", choices=("none", "hpa", "keda"), help="who scales (hpa, or none with --replicas alone)"
    )
    scale.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="a HorizontalPodAutoscaler or ScaledObject as JSON, instead of the next four",
    )
    scale.add_argument("--min", type=int, metavar="N", help="fewest replicas (1; keda 0)")
    scale.add_argument("--max", type=int, default=100, metavar="N", help="most replicas (100)")
    scale.add_argument(
        "--target-busy", type=float, metavar="SHARE", help="busy share of a replica's lanes to scale for (0.6)"
    )
    scale.add_argument("--target-wait", type=float, metavar="S", help="expected wait to scale for, seconds")
    scale.add_argument(
        "--schedule-s",
        type=float,
        default=10.0,
        metavar="S",
        help="from a pod's making to its process: node, image (10)",
    )
    scale.add_argument("--start-s", type=float, metavar="S", help="from its process to readiness (as measured)")
    scale.add_argument(
        "--drain-s", type=float, default=30.0, metavar="S", help="from its end's announcement to its end (30)"
    )


def _add_cost(parser: ArgumentParser) -> None:
    cost = parser.add_argument_group("cost and output")
    cost.add_argument(
        "--price-core-hour", type=float, default=0.04, metavar="PRICE", help="of one core for an hour (0.04)"
    )
    cost.add_argument(
        "--price-replica-hour", type=float, metavar="PRICE", help="of one replica for an hour instead, GPU and all"
    )
    cost.add_argument("--json", action="store_true", help="one JSON object for programs instead of the table")
    cost.add_argument("--plot", type=Path, metavar="FILE", help="also write a picture, PNG")
    which = cost.add_mutually_exclusive_group()
    which.add_argument("--exact", action="store_true", help="every image one by one, however many")
    which.add_argument("--fluid", action="store_true", help="second by second, however few")


def run(args: Namespace) -> int:
    """Measures or simulates; returns the exit code. Raises ArgumentError, SetupError."""
    if args.measure is not None:
        return _measure(args)
    if args.times is None:
        raise ArgumentError(None, "name a file of service times, or write one: --measure FILE")
    from app.capacity.times import read_times

    _check(args)
    times = read_times(args.times)
    arrivals = _arrivals(args)
    return _simulate(args, times, arrivals)


def _check(args: Namespace) -> None:
    """Raises ArgumentError for what contradicts itself."""
    if (args.rate is None) == (args.trace is None):
        raise ArgumentError(None, "give either --rate or --trace")
    above = ("rate", "times_trace", "target_busy", "target_wait", "replicas", "max", "seconds")
    zero = ("swing", "min", "schedule_s", "start_s", "drain_s", "price_core_hour", "price_replica_hour", "seed")
    for name, least, inclusive in [*((each, 0, False) for each in above), *((each, 0, True) for each in zero)]:
        value = getattr(args, name)
        if value is not None and not (least < value < 1e12 or (inclusive and value == least)):
            raise ArgumentError(None, f"--{name.replace('_', '-')} is {value:g}, but it should be above {least}")
    if args.swing > 1 or (args.target_busy or 0) > 1:
        raise ArgumentError(None, "--swing and --target-busy are shares: at most 1")
    if args.autoscaler == "none" and args.replicas is None:
        raise ArgumentError(None, "without an autoscaler say how many there are: --replicas N")


def _arrivals(args: Namespace) -> "Arrivals":
    from app.capacity.arrivals import diurnal, duration_s, read_trace, steady

    if args.trace is not None:
        return read_trace(args.trace).scaled(args.times_trace)
    try:
        lasts_s = duration_s(args.duration or ("24h" if args.profile == "diurnal" else "1h"))
    except ValueError as error:
        raise ArgumentError(None, f"--duration: {error}") from error
    if args.profile == "diurnal":
        return diurnal(args.rate, lasts_s, args.swing)
    return steady(args.rate, lasts_s)


def _simulate(args: Namespace, times: "ServiceTimes", arrivals: "Arrivals") -> int:
    from app.capacity.plan import Scaling, plan_of
    from app.capacity.result import Price, document, rows, total
    from app.capacity.simulate import simulate

    kind = args.autoscaler or ("none" if args.replicas and not args.manifest else "hpa")
    targets = {"busy": args.target_busy, "wait": args.target_wait}
    scaling = Scaling(
        *(kind, args.replicas, args.min, args.max),
        {name: target for name, target in targets.items() if target is not None},
        args.manifest,
    )
    times = times if args.start_s is None else times.model_copy(update={"start_s": args.start_s})
    plan = plan_of(times, scaling, arrivals, args.schedule_s, args.drain_s, args.seed)
    exact = args.exact or (not args.fluid and arrivals.images <= _EXACT_IMAGES)
    day = simulate(plan, arrivals, exact=exact)
    price = Price(args.price_core_hour, times.cores)
    if args.price_replica_hour is not None:
        price = replace(price, core_hour=args.price_replica_hour / times.cores)
    summary = total(day, price)
    said = document(day, price, _inputs(args, times, plan))
    if args.json:
        from app.cli.results import write_json_value

        write_json_value(said)
    else:
        _print(summary, rows(day), said["simulated"], times)
    if args.plot is not None:
        _plot(args.plot, said["rows"], times)
    return 0


def _inputs(args: Namespace, times: "ServiceTimes", plan: "Plan") -> dict[str, Any]:
    given = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    given = {name: value for name, value in given.items() if value is not None and name not in _MEASURED}
    return {"options": given, "service_times": times.model_dump(), "replicas_at_first": plan.initial}


def _print(summary: "Total", parts: "list[Row]", how: str, times: "ServiceTimes") -> None:
    from app.cli.results import write_rows

    head = ("from", "offered/s", "answered/s", "refused", "replicas", "ready", "busy", "p50 ms", "p99 ms")
    cells = [
        (
            _clock(row.second),
            *(f"{row.offered_per_s:,.1f}", f"{row.answered_per_s:,.1f}", f"{row.refused_share:.2%}"),
            *(f"{row.replicas_mean:,.1f}", f"{row.ready_mean:,.1f}", f"{row.busy:.0%}"),
            *(_ms(row.p50_ms), _ms(row.p99_ms)),
        )
        for row in parts
    ]
    write_rows(head, cells, numbers=head[1:])
    per_million = "-" if summary.cost_per_million is None else f"{summary.cost_per_million:,.2f}"
    sys.stdout.write(
        f"\n{summary.images:,.0f} images, {summary.answered:,.0f} answered, {summary.refused_share:.3%} refused; "
        f"p50 {_ms(summary.p50_ms)} ms, p99 {_ms(summary.p99_ms)} ms\n"
        f"{summary.replicas_least:,} to {summary.replicas_most:,} replicas, {summary.replicas_mean:,.1f} on average; "
        f"{summary.cores_most:,.0f} cores at most\n"
        f"More than 1 % refused for {summary.longest_shortage_s:,.0f} s at a stretch, at most\n"
        f"{summary.core_hours:,.1f} core hours cost {summary.cost:,.2f}: {per_million} a million images\n"
        f"Simulated: {how}. One replica does {times.images_per_s:,.1f} images/s at most.\n"
    )


def _plot(path: Path, parts: list[dict[str, Any]], times: "ServiceTimes") -> None:
    from app.insight.capacity import capacity_day

    try:
        path.write_bytes(capacity_day(parts, f"{times.model or 'one replica'}: simulated load, replicas, latency"))
    except OSError as error:
        raise SetupError(printable(f"{path}: it cannot be written: {error.strerror}")) from error


def _measure(args: Namespace) -> int:
    from app.cli.images import read_images
    from app.cli.options import read_settings
    from app.cli.service_times import Subject, measure

    if not 0.1 <= args.seconds <= 600:
        raise ArgumentError(None, f"--seconds is {args.seconds:g}, but it should be 0.1 … 600")
    settings = read_settings(args)
    given = [(name, getattr(args, name)) for name in _MEASURED if name != "model" and getattr(args, name) is not None]
    flags = tuple(word for name, value in given for word in (f"--{name.replace('_', '-')}", str(value)))
    times = measure(Subject(settings, flags, read_images(args.images), args.seconds), _say)
    try:
        args.measure.write_text(times.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SetupError(printable(f"{args.measure}: it cannot be written: {error.strerror}")) from error
    file = shlex.quote(str(args.measure))
    sys.stdout.write(
        f"One replica of {times.model} does {times.images_per_s:,.1f} images/s on {times.cores:g} cores. "
        f"Written to {args.measure}. To plan with it:\n"
        f"  vit-serve capacity {file} --rate {10 * times.images_per_s:.0f}\n"
    )
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"vit-serve capacity: {text}\n")


def _clock(second: float) -> str:
    minutes, seconds = divmod(round(second), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
