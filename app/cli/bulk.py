"""Owns `vit-serve classify --ray`: its options, and what is told about a run; does not plan or classify."""

import os
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.distributed.bulk import Progress


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    group = parser.add_argument_group(
        "many machines (the extra `ray`)",
        "With --ray a PATH is a file, a folder, a .tar archive, a .parquet table, or a URL such as s3://bucket/folder; "
        "a * fits anything. --out is then a folder that all nodes see, or a URL: each image becomes one row of the "
        "Parquet files in it. The same command again does only what is missing.",
    )
    group.add_argument("--ray", metavar="ADDRESS", help="of a Ray cluster: HOST:PORT, auto, or local to start one here")
    group.add_argument("--shard-images", type=_count, metavar="N", help="images in a file of rows, about; 1000")
    group.add_argument("--workers", type=_count, metavar="N", help="processes with a model; as many as there is room")
    group.add_argument(
        "--worker-cpus", type=_count, metavar="N", help="cores of each; all of a node, or its share of a node's GPUs"
    )


def check(args: Namespace) -> bool:
    """Whether it is a bulk run. Raises ArgumentError where options contradict."""
    if args.ray is None:
        for name in ("shard_images", "workers", "worker_cpus"):
            if getattr(args, name) is not None:
                raise ArgumentError(None, f"--{name.replace('_', '-')} goes with --ray")
        return False
    if args.out is None:
        raise ArgumentError(None, "--ray needs --out, the folder that results go to")
    for name in ("from_list", "null", "url", "resume", "retry_failed"):
        if getattr(args, name):
            raise ArgumentError(None, f"--{name.replace('_', '-')} goes without --ray")
    if args.format not in (None, "parquet"):
        raise ArgumentError(None, f"--format {args.format} goes without --ray, which writes Parquet")
    if "-" in args.paths:
        raise ArgumentError(None, "- is standard input of this machine: give --ray files, folders or URLs")
    return True


def run(args: Namespace, **overrides: Any) -> int:
    """Classifies what is missing; the exit code is 1 if an image of this run has no answer.

    `overrides` are of settings. Raises ArgumentError, SetupError.
    """
    from app.cli.options import read_settings
    from app.distributed.library import require_ray

    settings = read_settings(args, **overrides)
    require_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a local cluster would tell Ray's makers of itself
    from app.distributed.bulk import Request, classify_in_bulk

    if os.path.exists(settings.model):
        settings = settings.model_copy(update={"model": os.path.abspath(settings.model)})  # workers are elsewhere
    request = Request(
        *(tuple(args.paths), args.out, args.ray),
        image_column=args.image_column or "image",
        top_k=args.top_k,
        shard_images=args.shard_images or 1000,
        workers=args.workers or 0,
        worker_cpus=args.worker_cpus or 0,
    )
    progress = classify_in_bulk(request, settings, _listener(), _note)
    before = f"; {progress.before} were there before" if progress.before else ""
    sys.stdout.write(
        f"{args.out}: {progress.done} of {progress.shards} files of rows{before}\n"
        f"{progress.images:,} images, {progress.failed:,} of them without an answer, {progress.images_per_s:,.0f} "
        "images/s\n"
    )
    return 1 if progress.failed else 0


def _listener() -> "Callable[[Progress], None]":
    from app.cli.progress import Line

    line = Line()

    def listen(progress: "Progress") -> None:
        if progress.done == progress.shards:
            line.clear()
        elif line.is_due():
            line.tell(
                f"{progress.done} of {progress.shards} files, {progress.images:,} images, "
                f"{progress.images_per_s:,.0f} images/s, {progress.failed:,} without an answer"
            )

    return listen


def _note(text: str) -> None:
    sys.stderr.write(f"vit-serve classify: note: {text}\n")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_count.__name__ = "number of at least 1"
