"""Owns the pictures of a shard, one after the other, with what names each; does not classify them."""

import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from app.distributed.places import place
from app.distributed.plan import Shard
from app.imaging.files import is_image

_ROWS_AT_ONCE = 64  # of a table: as many pictures are in memory besides those being worked on


class Unreadable(Exception):
    """Why the bytes of a picture, or all that follow in its archive or table, cannot be had."""


@dataclass(frozen=True, slots=True)
class Image:
    """`id` is the same in every run; `read` is called once, in a thread, and raises Unreadable."""

    id: str
    source: str
    read: Callable[[], bytes]
    member: str | None = None
    row: int | None = None


def images_of(shard: Shard, image_column: str) -> Iterator[Image]:
    """The pictures of a shard in an order that is always the same; raises nothing about what is in the files.

    What ends early has one more element, for what is lost, that raises when it is read.
    """
    if shard.kind == "files":
        for url in shard.urls:
            yield Image(text(url), text(url), _file_reader(url))
    elif shard.kind == "tar":
        yield from _members(shard.urls[0])
    else:
        yield from _rows(shard, image_column)


def text(name: str) -> str:
    """A name as text, by its number each byte that is none: two names stay two."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _file_reader(url: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return place(url).read()
        except Exception as error:  # each store has errors of its own
            raise Unreadable(f"the file cannot be read: {_reason(error)}") from error

    return read


def _members(url: str) -> Iterator[Image]:
    """Of an archive, read from its beginning to its end without going back: it may come from a store."""
    archive, seen = place(url), Counter[str]()
    try:
        with archive.fs.open(archive.path, "rb") as file, tarfile.open(fileobj=file, mode="r|*") as members:
            for member in members:
                if not member.isfile() or not is_image(member.name):
                    continue
                data = members.extractfile(member)
                assert data is not None  # it is a file
                name = text(member.name)
                seen[name] += 1
                again = f"@{seen[name]}" if seen[name] > 1 else ""
                yield Image(f"{text(url)}#{name}{again}", text(url), _given(data.read()), member=name)
    except Exception as error:  # each store has errors of its own, tarfile those of its decompressors too
        reason = f"the archive cannot be read further: {_reason(error)}"
        yield Image(text(url), text(url), _failing(reason))


def _rows(shard: Shard, column: str) -> Iterator[Image]:
    url = shard.urls[0]
    table = place(url)
    try:
        with table.fs.open(table.path, "rb") as opened:
            file = parquet.ParquetFile(opened)
            for group in shard.row_groups:
                yield from _group(file, group, column, text(url))
    except Exception as error:  # each store has errors of its own
        lost = f"#row_group={shard.row_groups[0]}"
        yield Image(text(url) + lost, text(url), _failing(f"the table cannot be read: {_reason(error)}"))


def _group(file: Any, group: int, column: str, url: str) -> Iterator[Image]:
    """The rows of a group; from where it is damaged each of them is unreadable, for one knows how many there are."""
    row = sum(file.metadata.row_group(before).num_rows for before in range(group))
    end = row + file.metadata.row_group(group).num_rows
    try:
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=[column]):
            for data in _bytes(batch.column(0)):
                yield Image(f"{url}#{row}", url, _given(data), row=row)
                row += 1
    except Exception as error:  # each store has errors of its own
        reason = f"the table cannot be read here: {_reason(error)}"
        yield from (Image(f"{url}#{lost}", url, _failing(reason), row=lost) for lost in range(row, end))


def _bytes(column: Any) -> Iterator[bytes]:
    """Of each row, empty where it has none: pictures as they are, or as Hugging Face's datasets keep them."""
    if arrow.types.is_struct(column.type):
        column = column.field("bytes")
    return (value.as_py() or b"" for value in column)


def _given(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def _failing(reason: str) -> Callable[[], bytes]:
    def read() -> bytes:
        raise Unreadable(reason)

    return read


def _reason(error: Exception) -> str:
    """One line; of the system's errors without the path, which the row has."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
