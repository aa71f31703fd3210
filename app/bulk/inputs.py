"""Owns what was named on a command line → its pictures, in order; does not read archives or tables itself."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final, cast

from app.bulk import folders
from app.bulk.folders import Found, kind_of
from app.bulk.images import Image, failing, read_whole, reason_of, text, unreadable
from app.bulk.tars import tar_images
from app.bulk.unpacking import Replayed
from app.bulk.web import Web
from app.bulk.zips import count_zip, zip_images
from app.errors import SetupError

_CHUNK_BYTES: Final = 64 * 2**10
_LONGEST_LINE: Final = 64 * 2**10
_MAGIC_BYTES: Final = 262  # where a tar archive says so
_PACKED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class Inputs:
    """`paths`: files, folders, archives, tables, patterns, URLs, `@LIST`, or `-` for standard input.

    `lists`: files with one of these in a line, where signs of patterns and lists are just characters; with `nul` lines
    end with NUL. `column`: of a table's pictures. `without`: a file that is none of the inputs, wherever it lies.
    """

    paths: tuple[str, ...]
    lists: tuple[str, ...] = ()
    nul: bool = False
    column: str = "image"
    without: str | None = None

    def images(self) -> Iterator[Image]:
        """In the order of the inputs; folders sorted. Raises nothing about what is in them, SetupError for all else."""
        web = Web()
        for found in self.found():
            yield from _images(found, self.column, web)

    def count(self) -> int | None:
        """How many they seem to be, without reading any; None where only reading tells."""
        lists = [*self.lists, *(path[1:] for path in self.paths if path.startswith("@"))]
        if not all(map(os.path.isfile, lists)):  # what is taken from a pipe is gone
            return None
        total = 0
        for found in self.found():
            if found.kind in ("tar", "input"):
                return None
            total += _count(found)
        return total

    def found(self) -> Iterator[Found]:
        """What they name, without opening it."""
        for path in self.paths:
            if path.startswith("@"):
                yield from self._listed(path[1:])
            elif path == STANDARD_INPUT:
                yield Found("input", path)
            elif folders.is_glob(path) and not _is_url(path):
                nothing = True
                for fitting in folders.glob(path):
                    nothing = False
                    yield from self._at(fitting)
                if nothing:
                    yield Found("lost", path, "nothing fits this pattern", "no_images")
            else:
                yield from self._at(path)
        for name in self.lists:
            yield from self._listed(name)

    def _listed(self, name: str) -> Iterator[Found]:
        try:
            with _open_input(name) as file:
                for line in _lines(file, b"\0" if self.nul else b"\n"):
                    yield from self._at(os.fsdecode(line))
        except (OSError, ValueError) as error:
            yield Found("lost", name, f"the list cannot be read further: {reason_of(error)}")

    def _at(self, path: str) -> Iterator[Found]:
        if _is_url(path):
            yield Found("url", path)
            return
        inside = folders.walk(path) if _is_folder(path) else iter([Found(kind_of(path) or "file", path)])
        for found in inside:
            if found.kind == "file" or self.without is None or not _is_same(found.path, self.without):
                yield found


def _images(found: Found, column: str, web: Web) -> Iterator[Image]:
    name = text(found.path)

    def opened() -> AbstractContextManager[BinaryIO]:
        return open(found.path, "rb")

    if found.kind == "tar":
        yield from tar_images(opened, name)
    elif found.kind == "zip":
        yield from zip_images(opened, name)
    elif found.kind == "table":
        try:
            from app.bulk.tables import table_images  # needs a library that need not be there
        except SetupError as error:
            yield Image(name, name, failing(str(error)))
            return
        yield from table_images(opened, name, column)
    elif found.kind == "url":
        yield Image(name, name, partial(web.read, found.path))
    elif found.kind == "input":
        yield from _standard_input(_stdin())
    elif found.kind == "lost":
        yield Image(name, name, failing(found.reason, found.code))
    else:
        yield Image(name, name, partial(_read_file, found.path), size=_size(found.path))


def _standard_input(file: BinaryIO) -> Iterator[Image]:
    """Of a tar archive, compressed or not, its members; all else is one picture."""
    begin = file.read(_MAGIC_BYTES)
    whole = cast(BinaryIO, Replayed(begin, file))
    if begin.endswith(b"ustar") or begin.startswith(_PACKED):
        yield from tar_images(lambda: nullcontext(whole), STANDARD_INPUT)
        return

    def read() -> bytes:
        with unreadable("standard input cannot be read"):
            return read_whole(whole)

    yield Image(STANDARD_INPUT, STANDARD_INPUT, read)


def _read_file(path: str) -> bytes:
    with unreadable("the file cannot be read"), open(path, "rb") as file:
        return read_whole(file, os.fstat(file.fileno()).st_size)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0


def _count(found: Found) -> int:
    try:
        if found.kind == "zip":
            with open(found.path, "rb") as file:
                return count_zip(file)
        if found.kind == "table":
            from app.bulk.tables import count_rows

            with open(found.path, "rb") as file:
                return count_rows(file)
    except Exception:  # a damaged one is one row
        pass
    return 1


def _lines(file: BinaryIO, end: bytes) -> Iterator[bytes]:
    """Without their ends, empty ones left out. Raises ValueError for one that is no path."""
    rest = b""
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)  # of a pipe what there is
    while chunk := read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(end)
        yield from filter(None, (line.rstrip(b"\r") if end == b"\n" else line for line in lines))
        if len(rest) > _LONGEST_LINE:
            raise ValueError("a line is too long for a path")
    if rest:
        yield rest


def _open_input(name: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(_stdin()) if name == STANDARD_INPUT else open(name, "rb")


def _stdin() -> BinaryIO:
    """Not sys.stdin's own reader, whose lock a thread that waits there would hold when the process ends."""
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _is_url(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def _is_folder(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except ValueError:
        return False


def _is_same(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):
        return False
