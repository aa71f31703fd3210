"""Owns files of answers: each image once, whatever ended the run before; does not know what a line looks like."""

import fcntl
import json
import os
import stat
import time
from array import array
from collections.abc import Iterator
from typing import Any, Final

from app.bulk.images import Image
from app.bulk.names import Names
from app.cli.classify_lines import Lines, Outcome, RowLines
from app.errors import SetupError, printable

_EVERY_S: Final = 1.0
_MANY_BYTES: Final = 2**16
_CHUNK_BYTES: Final = 2**20
UNFINISHED: Final = ".unfinished"


class AnswerFile:
    """Lines at the end of a file, written whole some once a second, or of 64 KiB.

    `resume`: what is there stays, but for a cut end; with `retry`, also but for images without an answer, which are new
    then. `known`: names that need no answer either. Raises SetupError: it cannot be written, is another run's now, has
    answers though `resume` is not set, or of another model.
    """

    def __init__(
        self, path: str, lines: Lines, model: str, *, resume: bool, retry: bool, known: Names | None = None
    ) -> None:
        self._path, self._lines, self._model = path, lines, model
        self._names = Names() if known is None else known
        self._waiting, self._bytes, self._flushed_at = list[bytes](), 0, time.monotonic()
        try:
            self._file = _opened(path)
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                end = self._goes_on(retry) if resume else 0
                if not resume and os.fstat(self._file).st_size:
                    raise SetupError(f"{printable(path)}: there are answers in it; --resume goes on with them")
                os.ftruncate(self._file, end)
                os.lseek(self._file, end, os.SEEK_SET)
            else:
                end = 0  # a pipe, or a device
        except OSError as error:
            raise _unwritable(path, error) from error
        if end == 0:
            self._add(lines.head)

    def is_new(self, name: str) -> bool:
        """Notes it."""
        return self._names.add(name)

    def write(self, image: Image, outcome: Outcome) -> None:
        """Raises SetupError where it cannot be written."""
        self._add(self._lines.text(image, outcome))
        if self._bytes > _MANY_BYTES or time.monotonic() - self._flushed_at > _EVERY_S:
            self._flush()

    def close(self, *, finished: bool) -> None:
        """Writes what waits."""
        self._flush()
        os.close(self._file)

    def _add(self, text: str) -> None:
        self._waiting.append(text.encode())
        self._bytes += len(self._waiting[-1])

    def _flush(self) -> None:
        data = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._bytes, self._flushed_at = 0, time.monotonic()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _goes_on(self, retry: bool) -> int:
        """Where the answers that stay end."""
        end, dropped = 0, array("Q")
        try:
            with open(self._path, "rb") as file:
                for told in self._lines.told(file):
                    if told.model is not None and told.model != self._model:
                        raise _anothers(self._path, told.model, self._model)
                    if told.failed and retry:
                        dropped.extend((end, told.end))
                    elif told.name is not None:
                        self._names.add(told.name)
                    end = told.end
        except ValueError as error:
            raise SetupError(f"{printable(self._path)}: it holds something else after byte {end:,}: {error}") from error
        return self._without(dropped, end) if dropped else end

    def _without(self, dropped: "array[int]", end: int) -> int:
        """The file with only the rest, all at once. Where it ends then."""
        new = self._path + ".new"
        with open(self._path, "rb") as old, open(new, "wb") as file:
            for start, stop in zip([0, *dropped[1::2]], [*dropped[::2], end], strict=True):
                old.seek(start)
                while start < stop and (chunk := old.read(min(_CHUNK_BYTES, stop - start))):
                    file.write(chunk)
                    start += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._path)
        os.close(self._file)
        self._file = _opened(self._path)
        return os.fstat(self._file).st_size


class AnswerTable:
    """A Parquet file, there whole or not at all: until all is done, its rows are lines of a file beside it.

    Arguments and errors as of `AnswerFile`.
    """

    def __init__(self, path: str, model: str, *, resume: bool, retry: bool) -> None:
        from app.bulk.row_table import model_of, read_rows

        self._path, self._model = path, model
        names = Names()
        if os.path.exists(path):
            if not resume:
                raise SetupError(f"{printable(path)}: there are answers in it; --resume goes on with them")
            try:
                if (other := model_of(path)) != model:
                    raise _anothers(path, other, model)
                for row in read_rows(path):
                    if not (retry and row["code"]):
                        names.add(row["id"])
            except SetupError:
                raise
            except Exception as error:  # Parquet's library has many
                raise SetupError(f"{printable(path)}: no table of answers: {printable(str(error))}") from error
        self._lines = AnswerFile(path + UNFINISHED, RowLines(), model, resume=resume, retry=retry, known=names)
        self.is_new, self.write = self._lines.is_new, self._lines.write

    def close(self, *, finished: bool) -> None:
        """Makes the table if all is done. Raises SetupError where it cannot be written."""
        from app.bulk.row_table import write_rows

        self._lines.close(finished=finished)
        if not finished:
            return
        unfinished, new = self._path + UNFINISHED, self._path + ".new"
        try:
            if os.stat(unfinished).st_size or not os.path.exists(self._path):
                write_rows(new, self._rows(unfinished), self._model)
                os.replace(new, self._path)
            os.unlink(unfinished)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _rows(self, unfinished: str) -> Iterator[dict[str, Any]]:
        """What the table has already, but for what was tried again; then what is new."""
        from app.bulk.row_table import read_rows

        with open(unfinished, "rb") as file:
            new = Names()
            for told in RowLines().told(file):
                new.add(told.name or "")
            if os.path.exists(self._path):
                yield from (row for row in read_rows(self._path) if row["id"] not in new)
            file.seek(0)
            yield from map(json.loads, file)


def _opened(path: str) -> int:
    """Nobody else writes to it meanwhile. Raises OSError, SetupError."""
    regular = not os.path.exists(path) or os.path.isfile(path)
    if not regular:
        return os.open(path, os.O_WRONLY)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # of another kind where the file system has no locks
        if isinstance(error, BlockingIOError):
            os.close(file)
            raise SetupError(f"{printable(path)}: another run is writing there; wait for it") from error
    return file


def _unwritable(path: str, error: OSError) -> SetupError:
    return SetupError(f"{printable(path)}: cannot be written: {error.strerror}")


def _anothers(path: str, other: str, model: str) -> SetupError:
    return SetupError(
        f"{printable(path)}: its answers are of the model {other!r}, not of {model!r}: name another file, or that model"
    )
