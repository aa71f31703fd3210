"""Owns `vit-serve classify`: files in, answers out, many at a time; does not decode or compute."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from app.errors import DatasetError, VitServeError
from app.scheduling.patience import until_taken

if TYPE_CHECKING:
    from app.cli.results import Result
    from app.domain import Classification
    from app.settings import Settings

_DEFAULT_TOP_K: Final = 5
_DAY_MS: Final = 86_400_000.0
_NOTES: Final = {
    "sigmoid": "scores are by sigmoid, each class on its own: they need not add up to 100 %",
    "none": "scores have no activation: they are the model's own numbers, not shares",
}


class Door(Protocol):
    """Whatever classifies: a model in this process, or a server."""

    async def classify(self, data: bytes, *, top_k: int) -> "Classification":
        """The best `top_k` classes. Raises VitServeError."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """One image to come: `read` is called in a thread when its turn has come."""

    name: str
    read: Callable[[], bytes]


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    from app.cli import bulk
    from app.cli.options import add_settings

    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="an image file, a folder (searched with all folders below it), or - for one image from standard input",
    )
    parser.add_argument(
        "--top-k",
        type=int,
        metavar="N",
        help=f"how many classes to name for each image, best first; default {_DEFAULT_TOP_K}, or all there are",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json", "csv"),
        default="table",
        help="table for people (the default); json as the HTTP interface answers, with the path added; csv",
    )
    add_settings(parser, ("model", "device", "engine", "precision"))
    bulk.configure(parser)
    parser.epilog = (
        "The exit code is 0 if every image was classified and 1 if one was not; the others are still answered."
    )


def run(args: Namespace) -> int:
    """Classifies what was named; returns the exit code. Raises ArgumentError, SetupError."""
    from app.cli import bulk
    from app.cli.options import read_settings
    from app.cli.results import Failure, write_csv, write_json, write_table

    # Nobody waits behind a command: it has all the time it needs, whatever a service would refuse.
    patience = {"max_wait_ms": _DAY_MS, "request_timeout_ms": _DAY_MS}
    if bulk.check(args):
        return bulk.run(args, **patience)
    settings = read_settings(args, **patience)
    results = asyncio.run(_classify_all(settings, list(_sources(args.paths)), args.top_k))
    {"table": write_table, "json": write_json, "csv": write_csv}[args.format](results)
    failed = sum(isinstance(result.outcome, Failure) for result in results)
    if failed:
        sys.stdout.flush()
        sys.stderr.write(f"vit-serve classify: {failed} of {len(results)} images could not be classified\n")
    return 1 if failed else 0


def _sources(paths: Sequence[str]) -> Iterator[Source]:
    from app.imaging.files import list_images

    for name in paths:
        path = Path(name)
        if name == "-":
            yield Source(name, sys.stdin.buffer.read)
        else:
            files = [path / image for image in list_images(path)] if os.path.isdir(path) else []  # never raises
            yield from (Source(_printable(file), file.read_bytes) for file in files or [path])


async def _classify_all(settings: "Settings", sources: Sequence[Source], top_k: int | None) -> "list[Result]":
    from app.bootstrap import open_classifier
    from app.cli.progress import file_progress

    async with open_classifier(settings) as classifier:
        await classifier.ready()
        if top_k is None:
            top_k = min(_DEFAULT_TOP_K, len(classifier.info.labels))
        classifier.check_top_k(top_k)
        for note in (classifier.info.notice, _NOTES.get(classifier.info.activation)):
            if note:
                sys.stderr.write(f"vit-serve classify: note: {note}\n")
        # Twice what one device takes at a time keeps it busy while the next images are read and decoded.
        largest_batch = max(settings.max_batch_size, 16 if classifier.info.device == "cpu" else 64)
        in_flight = min(2 * largest_batch, settings.slots)
        results: list[Result] = []
        with file_progress(len(sources)) as advance:
            async for result in classify_in_order(classifier, sources, top_k, in_flight):
                results.append(result)
                advance()
        return results


async def classify_in_order(
    classifier: "Door", sources: Sequence[Source], top_k: int, in_flight: int
) -> "AsyncIterator[Result]":
    """The results in the order of the sources, of which `in_flight` at most are being worked on."""
    pending: deque[asyncio.Task[Result]] = deque()
    try:
        for source in sources:
            if len(pending) == in_flight:
                yield await pending.popleft()
            pending.append(asyncio.create_task(_classify_one(classifier, source, top_k)))
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()


async def _classify_one(classifier: "Door", source: Source, top_k: int) -> "Result":
    from app.cli.results import Failure, Result

    try:
        data = await asyncio.to_thread(source.read)
    except IsADirectoryError:  # only a folder in which nothing was found is taken for a file
        return Result(source.name, Failure("the folder holds no image files", "no_images"))
    except OSError as error:
        return Result(source.name, Failure(f"the file cannot be read: {error.strerror}", "unreadable_file"))
    except DatasetError as error:
        return Result(source.name, Failure(str(error), "unreadable_file"))
    try:
        return Result(source.name, await until_taken(lambda: classifier.classify(data, top_k=top_k)))
    except VitServeError as error:
        return Result(source.name, Failure(str(error), error.code))


def _printable(path: Path) -> str:
    """The name as text: file names are bytes, and what is not UTF-8 in them becomes question marks."""
    return str(path).encode(errors="replace").decode()
