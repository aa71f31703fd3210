"""Owns the pictures in a column of a Parquet table; needs pyarrow; does not open files."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.bulk.images import Image, failing, given, reason_of
from app.bulk.tars import Opened
from app.errors import SetupError

try:
    import pyarrow as arrow
    import pyarrow.parquet as parquet
except ModuleNotFoundError as error:
    raise SetupError("Parquet needs pyarrow, which is not installed here: pip install 'vit-serve[parquet]'") from error

_ROWS_AT_ONCE: Final = 64  # as many pictures are in memory besides those being worked on
_BUFFER_BYTES: Final = 2**20  # read at once of a column, which may be gigabytes


def table_images(opened: Opened, name: str, column: str, groups: Sequence[int] | None = None) -> Iterator[Image]:
    """The rows of a table, or of some of its row groups, in order; an id is `name#row`.

    Raises nothing about what is in the file: what cannot be read is an element that raises when it is read.
    """
    try:
        with opened() as file:
            table = parquet.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            if column not in table.schema_arrow.names:
                names = ", ".join(map(repr, table.schema_arrow.names[:20]))
                yield Image(name, name, failing(f"the table has no column {column!r}; it has {names}"))
                return
            for group in range(table.metadata.num_row_groups) if groups is None else groups:
                yield from _group(table, group, column, name)
    except Exception as error:  # each store has errors of its own
        identity = f"{name}#row_group={groups[0]}" if groups else name
        yield Image(identity, name, failing(f"the table cannot be read: {reason_of(error)}"))


def count_rows(file: Any) -> int:
    """As the table's end says. Raises an error of some kind where it is damaged."""
    return int(parquet.ParquetFile(file).metadata.num_rows)


def _group(table: Any, group: int, column: str, name: str) -> Iterator[Image]:
    """The rows of a group; from where it is damaged each of them is unreadable, for one knows how many there are."""
    row = sum(table.metadata.row_group(before).num_rows for before in range(group))
    end = row + table.metadata.row_group(group).num_rows
    try:
        for batch in table.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=[column]):
            for data in _bytes(batch.column(0)):
                yield Image(f"{name}#{row}", name, given(data), row=row, size=len(data))
                row += 1
    except Exception as error:  # each store has errors of its own
        reason = f"the table cannot be read here: {reason_of(error)}"
        yield from (Image(f"{name}#{lost}", name, failing(reason), row=lost) for lost in range(row, end))


def _bytes(column: Any) -> Iterator[bytes]:
    """Of each row, empty where it has none: pictures as they are, or as Hugging Face's datasets keep them."""
    if arrow.types.is_struct(column.type):
        column = column.field("bytes")
    for value in column:
        data = value.as_py() or b""
        if not isinstance(data, bytes):
            raise TypeError(f"the column holds {column.type}, not the bytes of pictures")
        yield data
