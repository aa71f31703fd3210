"""Owns `vit-serve evaluate`: options, and which answers are asked for; does not judge them or write tables."""

import asyncio
import sys
import time
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from app.errors import DatasetError, SetupError

if TYPE_CHECKING:
    from app.cli.evaluation import Evaluated
    from app.cli.results import Result
    from app.domain import Classification
    from app.settings import Settings
    from app.training.dataset import ImageFiles
    from app.training.measure import Answered

_DAY_MS: Final = 86_400_000.0
_IN_FLIGHT: Final = 32
_READERS: Final = 8
_ALL_SCORES: Final = 100  # classes up to which every score is asked for, so that the log loss is known
_DESCRIPTION: Final = (
    "Measures a model on images whose classes are known: DATA is a folder or zip with one folder for each class, named "
    "as the model names it. MODEL is what --model of `serve` takes, or the address of a running server such as "
    "http://localhost:8000. The images go the way of any request: decoded, resized and batched as in service."
)


class Door(Protocol):
    """Whatever classifies: a model in this process, or a server."""

    async def classify(self, data: bytes, *, top_k: int) -> "Classification":
        """The best `top_k` classes. Raises VitServeError."""
        ...


class Model(NamedTuple):
    """A door, and what is behind it."""

    door: Door
    name: str
    labels: tuple[str, ...]


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    from app.cli.options import add_settings

    parser.description = _DESCRIPTION
    parser.add_argument("subject", metavar="MODEL", help="a model, or the http(s) address of a running server")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder or zip of images, one folder for each class")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="FOLDER=LABEL",
        help="images of this folder show that class; for folders named otherwise than the model does; repeatable",
    )
    parser.add_argument(
        "--ignore-unknown", action="store_true", help="leave out folders that are named after none of the classes"
    )
    parser.add_argument(
        "--out-of-scope",
        type=Path,
        metavar="DATA",
        help="also a folder or zip of images that show none of the classes: how sure is the model of them?",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for programs instead of tables")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write confusion.png and reliability.png there")
    add_settings(parser, ("device", "engine", "precision"))
    parser.epilog = "The exit code is 0 if every image was answered and 1 if one was not; the others still count."


def run(args: Namespace) -> int:
    """Measures; returns the exit code. Raises ArgumentError, SetupError."""
    from app.cli.evaluation import write_pictures, write_report
    from app.cli.options import read_settings
    from app.training.dataset import ImageFiles

    settings = read_settings(args, max_wait_ms=_DAY_MS, request_timeout_ms=_DAY_MS)
    beyond = nullcontext() if args.out_of_scope is None else ImageFiles(args.out_of_scope)
    with ImageFiles(args.data) as files, beyond as others:  # both at once: a mistyped name should not cost an hour
        evaluated = asyncio.run(_evaluate(args, settings, files, others))
    write_report(evaluated, as_json=args.json)
    if args.out is not None:
        write_pictures(evaluated, args.out)
    return 1 if evaluated.failures else 0


async def _evaluate(
    args: Namespace, settings: "Settings", files: "ImageFiles", others: "ImageFiles | None"
) -> "Evaluated":
    from app.cli.evaluation import Evaluated
    from app.training.measure import measure, measure_out_of_scope

    async with _open(args.subject, settings) as model:
        truths = _truths(files, model.labels, _mapping(args.map), args.ignore_unknown)
        started_at = time.monotonic()
        results = await _ask(model, files, list(truths))
        seconds = time.monotonic() - started_at
        answers, failures = _sort(results, truths)
        beyond = None
        if others is not None:
            foreign, more = _sort(await _ask(model, others, others.names), dict.fromkeys(others.names))
            failures += more
            beyond = measure_out_of_scope(foreign, model.labels) if foreign else None
    if not answers:
        raise DatasetError(f"{args.data}: not one of its {len(truths)} images was answered: {failures[0][1]}")
    rate = len(answers) / seconds
    return Evaluated(model.name, measure(answers, model.labels), beyond, rate, tuple(failures))


@asynccontextmanager
async def _open(subject: str, settings: "Settings") -> AsyncIterator[Model]:
    """The model named on the command line. Raises SetupError."""
    if subject.startswith(("http://", "https://")):
        from app.cli.remote import RemoteClassifier

        async with RemoteClassifier(subject, _IN_FLIGHT) as remote:
            document = await remote.model()
            _check(str(document.get("name")), document.get("activation", "softmax"))
            yield Model(remote, str(document.get("name")), tuple(map(str, document["labels"])))
        return
    from app.bootstrap import open_classifier

    async with open_classifier(settings.model_copy(update={"model": subject})) as classifier:
        await classifier.ready()
        _check(classifier.info.name, classifier.info.activation)
        yield Model(classifier, classifier.info.name, classifier.info.labels)


def _check(name: str, activation: object) -> None:
    """Raises SetupError for a model of which a folder for each class says too little."""
    if activation != "softmax":
        raise SetupError(
            f"{name} cannot be evaluated: the activation of its scores is {activation}, so its classes do not exclude "
            "each other, and one folder for each class does not say what else a picture shows"
        )


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Raises ArgumentError for what is no FOLDER=LABEL."""
    for pair in pairs:
        if not all(pair.partition("=")):
            raise ArgumentError(None, f"--map is {pair!r}, but it should be FOLDER=LABEL")
    return dict(pair.split("=", 1) for pair in pairs)


def _number_of(name: str, numbers: dict[str, int]) -> int | None:
    return numbers.get(name, numbers.get(name.casefold()))


def _truths(files: "ImageFiles", labels: Sequence[str], mapping: dict[str, str], ignore: bool) -> dict[str, int | None]:
    """Image → class index; names are compared exactly, then regardless of case. Raises DatasetError, ArgumentError."""
    from app.training.dataset import class_of

    backwards = list(enumerate(labels))[::-1]  # of two alike the first counts
    numbers = {label.casefold(): i for i, label in backwards} | {label: i for i, label in backwards}
    if wrong := [label for label in mapping.values() if _number_of(label, numbers) is None]:
        raise ArgumentError(None, f"--map: the model has no class {wrong[0]!r}; it has {_few(labels)}")
    found = {name: _number_of(mapping.get(class_of(name), class_of(name)), numbers) for name in files.names}
    unknown = sorted({class_of(name) for name, number in found.items() if number is None})
    known: dict[str, int | None] = {name: number for name, number in found.items() if number is not None}
    if unknown and not ignore:
        files.check_folders()
        raise DatasetError(
            f"{files.path}: the model has no class {_few(unknown)}; it has {_few(labels)}. "
            "Use --map FOLDER=LABEL or --ignore-unknown"
        )
    if not known:
        raise DatasetError(f"{files.path}: holds no image in a folder named after a class; there are {_few(labels)}")
    return known


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:12])) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


async def _ask(model: Model, files: "ImageFiles", names: Sequence[str]) -> "list[Result]":
    from app.bulk.answers import answer_in_order
    from app.bulk.images import Image
    from app.bulk.threads import Daemons
    from app.cli.progress import file_progress
    from app.cli.results import Result

    top_k = len(model.labels) if len(model.labels) <= _ALL_SCORES else 5
    images = (Image(name, name, partial(_read, files, name)) for name in names)
    results = []
    with file_progress(len(names), "evaluating") as advance, Daemons(_READERS) as threads:
        ask = partial(model.door.classify, top_k=top_k)
        async for image, outcome in answer_in_order(images, ask, _IN_FLIGHT, threads):
            results.append(Result(image.id, outcome))
            advance()
    return results


def _read(files: "ImageFiles", name: str) -> bytes:
    from app.bulk.images import Unreadable

    try:
        return files.read(name)
    except DatasetError as error:
        raise Unreadable(str(error)) from error


def _sort(results: "Sequence[Result]", truths: dict[str, int | None]) -> "tuple[list[Answered], list[tuple[str, str]]]":
    """(answers, failures as file and reason)."""
    from app.bulk.answers import Failure
    from app.training.measure import Answered

    answers, failures = [], []
    for result in results:
        if isinstance(result.outcome, Failure):
            failures.append((result.path, f"{result.outcome.code}: {result.outcome.error}"))
            continue
        best = result.outcome.predictions
        sure = None if result.outcome.confidence is None else result.outcome.confidence == "high"
        indices, scores = tuple(p.index for p in best), tuple(p.score for p in best)
        answers.append(Answered(truths[result.path], indices, scores, sure))
    if failures:
        sys.stderr.write(
            f"vit-serve evaluate: {len(failures)} images were not answered, the first: {': '.join(failures[0])}\n"
        )
    return answers, failures
