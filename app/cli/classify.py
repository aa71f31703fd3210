"""Owns `vit-serve classify`: images in, answers out, any number of them; does not read, compute or write lines."""

import asyncio
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from contextlib import aclosing
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.bulk.images import Image
    from app.bulk.inputs import Inputs
    from app.cli.classify_model import Asked
    from app.cli.classify_output import Format, Output
    from app.cli.progress import Tally
    from app.settings import Settings

_DAY_MS: Final = 86_400_000.0
_READERS: Final = 16
_SETTINGS: Final = ("model", "device", "engine", "precision")
_DESCRIPTION: Final = (
    "Tells what is in images: files, folders with all folders below them, quoted patterns such as 'photos/**/*.jpg', "
    ".zip and .tar archives (.gz, .bz2, .xz; also in folders; nothing is extracted to disk), .parquet tables, http(s) "
    "addresses of images, @FILE for a list of all these, - for an image or a tar archive from standard input. A member "
    "is named archive.tar#member, a row table.parquet#row. What cannot be read or classified is an answer with a code."
)


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    from app.cli import bulk
    from app.cli.options import add_settings

    parser.description = _DESCRIPTION
    parser.add_argument("paths", nargs="*", metavar="PATH", help="see above")
    parser.add_argument(
        "--from-list",
        action="append",
        metavar="FILE",
        help="a PATH in each line of it, - for standard input; signs of patterns are just characters; repeatable",
    )
    parser.add_argument(
        "-z", "--null", action="store_true", help="lists end their lines with NUL, as find -print0 does"
    )
    parser.add_argument("--image-column", metavar="NAME", help="column of Parquet tables that has the image; image")
    parser.add_argument("--url", metavar="URL", help="ask this running server, such as http://localhost:8000")
    parser.add_argument(
        "--top-k",
        type=int,
        metavar="N",
        help="how many classes to name for each image; 5, or all there are",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json", "jsonl", "csv", "parquet"),
        help="table for people (the default); json: an array, and jsonl: a line for each image, as the HTTP interface "
        "answers, with the path added; csv; parquet, with --out. With --out by its name, or jsonl",
    )
    parser.add_argument("--out", metavar="FILE", help="where answers go, each image once, even one that is named twice")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with FILE: images that are in it already are left out, new ones follow at its end in the order of "
        "the inputs; starts it if it is not there",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="with --resume: images without an answer are taken out and tried again",
    )
    add_settings(parser, _SETTINGS)
    bulk.configure(parser)
    parser.epilog = (
        "The exit code is 0 if every image was classified and 1 if one was not; the others are still answered. 130 "
        "after Ctrl-C; what was answered until then is written."
    )


def run(args: Namespace) -> int:
    """Classifies what was named; returns the exit code. Raises ArgumentError, SetupError."""
    import uvloop

    from app.cli import bulk
    from app.cli.options import read_settings

    # Nobody waits behind a command: it has all the time it needs, whatever a service would refuse.
    patience = {"max_wait_ms": _DAY_MS, "request_timeout_ms": _DAY_MS}
    if not args.paths and not args.from_list:
        raise ArgumentError(None, "name at least one PATH, or a list with --from-list")
    if bulk.check(args):
        return bulk.run(args, **patience)
    form = _format(args)
    if args.url is not None and (given := [name for name in _SETTINGS if getattr(args, name) is not None]):
        raise ArgumentError(None, f"--{given[0]} is the server's: it goes without --url")
    settings = read_settings(args, **patience)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(_classify_all(args, settings, form))
    failed = sum(tally.failures.values())
    sys.stdout.flush()
    if failed:
        sys.stderr.write(
            f"vit-serve classify: {failed:,} of {tally.done:,} images could not be classified: {tally.causes()}\n"
        )
    return 1 if failed else 0


def _format(args: Namespace) -> "Format":
    """Raises ArgumentError where options contradict."""
    if args.out is None:
        for name in ("resume", "retry_failed"):
            if getattr(args, name):
                raise ArgumentError(None, f"--{name.replace('_', '-')} goes with --out")
        if args.format == "parquet":
            raise ArgumentError(None, "--format parquet needs --out")
        return args.format or "table"
    if args.retry_failed and not args.resume:
        raise ArgumentError(None, "--retry-failed goes with --resume")
    by_name: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}
    form: Format = args.format or by_name.get(PurePath(args.out).suffix.lower(), "jsonl")
    if form in ("table", "json"):
        raise ArgumentError(None, f"--format {form} goes without --out, which writes jsonl, csv or parquet")
    return form


async def _classify_all(args: Namespace, settings: "Settings", form: "Format") -> "Tally":
    from app.bulk.inputs import Inputs
    from app.cli.classify_model import open_model, open_server
    from app.cli.progress import Tally

    inputs = Inputs(
        tuple(args.paths), tuple(args.from_list or ()), args.null, args.image_column or "image", without=args.out
    )
    opened = open_model(settings, args.top_k) if args.url is None else open_server(args.url, args.top_k)
    async with opened as model:
        tally = Tally(inputs.count)
        output = _open_output(args, form, model, tally)
        for note in model.notes:
            sys.stderr.write(f"vit-serve classify: note: {note}\n")
        finished = False
        try:
            await _answer(inputs, model, output, tally)
            finished = True
        finally:
            tally.line.clear()
            output.close(finished=finished)
            if args.out is not None:
                _tell(args.out, tally, finished)
    return tally


async def _answer(inputs: "Inputs", model: "Asked", output: "Output", tally: "Tally") -> None:
    from app.bulk.answers import Failure, answer_in_order
    from app.bulk.threads import Daemons

    def missing() -> "Iterator[Image]":
        for image in inputs.images():
            if output.is_new(image.id):
                yield image
            else:
                tally.skipped += 1

    with Daemons(min(_READERS, model.in_flight) + 1) as threads:
        async with aclosing(answer_in_order(missing(), model.ask, model.in_flight, threads)) as answers:
            async for image, outcome in answers:
                output.write(image, outcome)
                tally.add(outcome.code if isinstance(outcome, Failure) else None)


def _open_output(args: Namespace, form: "Format", model: "Asked", tally: "Tally") -> "Output":
    from app.cli.classify_file import AnswerFile, AnswerTable
    from app.cli.classify_lines import Csv, JsonLines
    from app.cli.classify_output import Screen

    if args.out is None:
        return Screen(form, model.top_k, before=tally.line.clear)
    how = {"resume": args.resume, "retry": args.retry_failed}
    if form == "parquet":
        return AnswerTable(args.out, model.name, **how)
    return AnswerFile(args.out, Csv(model.top_k) if form == "csv" else JsonLines(), model.name, **how)


def _tell(out: str, tally: "Tally", finished: bool) -> None:
    from app.errors import printable

    before = f", {tally.skipped:,} were there or named before" if tally.skipped else ""
    goes_on = "" if finished else "; not all are done, the same command with --resume goes on"
    sys.stderr.write(f"{printable(out)}: {tally.done:,} images{before}, {tally.per_s:,.0f} images/s{goes_on}\n")
