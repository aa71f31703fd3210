"""Owns files of answers as text: one answer as it is written, and what is told by those that are there; no files."""

import csv
import json
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol

from app.bulk.answers import Failure
from app.bulk.images import Image
from app.bulk.rows import row_of
from app.cli.results import CSV_HEAD, Result, csv_lines, csv_text, document, json_line
from app.domain import Classification

Outcome = Classification | Failure


class Told(NamedTuple):
    """An answer in a file, up to byte `end`; without a name it is the head. `model`: whose, where it says so."""

    name: str | None
    end: int
    failed: bool = False
    model: str | None = None


class Lines(Protocol):
    """A form of answers."""

    @property
    def head(self) -> str:
        """What a file begins with."""
        ...

    def text(self, image: Image, outcome: Outcome) -> str:
        """What is added for one."""
        ...

    def told(self, file: BinaryIO) -> Iterator[Told]:
        """All that are in a file whole, in order. Raises ValueError for a file of something else."""
        ...


class JsonLines:
    """As the HTTP interface answers, with the path; one line an image."""

    head: Final = ""
    _name: Final = "path"

    def text(self, image: Image, outcome: Outcome) -> str:
        """One line."""
        return json_line(document(Result(image.id, outcome)))

    def told(self, file: BinaryIO) -> Iterator[Told]:
        """The last line may be cut."""
        end = 0
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            value = json.loads(line)
            if not isinstance(value, dict) or not isinstance(value.get(self._name), str):
                raise ValueError(f"there is no {self._name}")
            failed = value.get("code") is not None
            yield Told(value[self._name], end, failed, None if failed else value.get("model"))


class RowLines(JsonLines):
    """What becomes a row of a table when all is done."""

    _name: Final = "id"  # type: ignore[misc]

    def text(self, image: Image, outcome: Outcome) -> str:
        """One line."""
        model = {} if isinstance(outcome, Failure) else {"model": outcome.model}
        return json_line(row_of(image, outcome) | model)


class Csv:
    """One line a prediction; `top_k` tells whether all of an image are there."""

    head: Final = csv_text([CSV_HEAD])

    def __init__(self, top_k: int) -> None:
        self._top_k = top_k

    def text(self, image: Image, outcome: Outcome) -> str:
        """Several lines."""
        return csv_lines(Result(image.id, outcome))

    def told(self, file: BinaryIO) -> Iterator[Told]:
        """The last image's lines may be fewer than asked for, and the last of them cut."""
        at, ended = 0, False

        def lines() -> Iterator[str]:
            nonlocal at, ended
            for line in file:
                if not line.endswith(b"\n"):
                    break
                at += len(line)
                yield line.decode()
            ended = True

        reader = csv.reader(lines(), strict=True)
        image: Told | None = None
        rank = ""
        try:
            if (head := next(reader, None)) is None:
                return
            if tuple(head) != CSV_HEAD:
                raise ValueError("the first line names other columns")
            yield Told(None, at)
            for name, rank, *_, code, _ in reader:
                if image is not None and rank in ("", "1"):
                    yield image
                image = Told(name, at, bool(code))
        except csv.Error as error:
            if not ended:  # else the last line was cut inside quotes
                raise ValueError(str(error)) from error
        if image is not None and (image.failed or rank == str(self._top_k)):
            yield image
