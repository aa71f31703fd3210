"""Owns rows as a Parquet file; needs pyarrow; does not make rows."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Final

from app.errors import SetupError

try:
    import pyarrow as arrow
    import pyarrow.parquet as parquet
except ModuleNotFoundError as error:
    raise SetupError("Parquet needs pyarrow, which is not installed here: pip install 'vit-serve[parquet]'") from error

_ROWS_AT_ONCE: Final = 1024
_ROWS_IN_A_GROUP: Final = 16 * _ROWS_AT_ONCE
_PREDICTION: Final = arrow.struct(
    [("label", arrow.string()), ("index", arrow.int32()), ("score", arrow.float32()), ("id", arrow.string())]
)
SCHEMA: Final = arrow.schema(
    [
        arrow.field("id", arrow.string(), nullable=False),
        arrow.field("source", arrow.string(), nullable=False),
        ("member", arrow.string()),
        ("row", arrow.int64()),
        ("predictions", arrow.list_(_PREDICTION)),
        ("confidence", arrow.string()),
        ("code", arrow.string()),
        ("error", arrow.string()),
    ]
)


def write_rows(path: str, rows: Iterable[dict[str, Any]], model: str) -> None:
    """A file of any number of rows, of which some thousand are in memory. Raises OSError."""
    rows = iter(rows)
    schema = SCHEMA.with_metadata({"model": model})
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while some := list(itertools.islice(rows, _ROWS_IN_A_GROUP)):
            writer.write_table(arrow.Table.from_pylist(some, schema))


def read_rows(path: str) -> Iterator[dict[str, Any]]:
    """What `write_rows` wrote. Raises an error of some kind for another file."""
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            yield from batch.to_pylist()


def model_of(path: str) -> str:
    """Whose answers they are. Raises an error of some kind for another file."""
    with parquet.ParquetFile(path) as file:
        return str((file.schema_arrow.metadata or {}).get(b"model", b""), "utf-8")
