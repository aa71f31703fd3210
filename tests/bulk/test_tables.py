"""Owns the tests of bulk/tables.py and bulk/row_table.py."""

from pathlib import Path
from typing import Any

import pytest

from app.bulk.row_table import SCHEMA, model_of, read_rows, write_rows
from app.bulk.tables import count_rows, table_images
from tests.bulk.archives import outcomes
from tests.distributed.pictures import save_table

VALUES = [b"0", None, b"2", b"", b"4"]


def read(path: Path, column: str = "image", groups: tuple[int, ...] | None = None) -> dict[str, bytes | str]:
    return outcomes(table_images(lambda: path.open("rb"), "t", column, groups))


@pytest.mark.parametrize("nested", [False, True])
def test_rows_by_their_number_in_the_file(tmp_path: Path, nested: bool):
    values: list[Any] = [{"bytes": value, "path": "x"} if nested else value for value in VALUES]
    save_table(tmp_path / "t.parquet", values, rows=2)
    assert read(tmp_path / "t.parquet") == {"t#0": b"0", "t#1": b"", "t#2": b"2", "t#3": b"", "t#4": b"4"}
    assert read(tmp_path / "t.parquet", groups=(1,)) == {"t#2": b"2", "t#3": b""}
    assert count_rows(tmp_path / "t.parquet") == 5


def test_what_has_no_pictures_is_told(tmp_path: Path):
    save_table(tmp_path / "t.parquet", ["text"])
    (tmp_path / "no.parquet").write_bytes(b"no table")
    assert read(tmp_path / "t.parquet", "other") == {
        "t": "unreadable_file: the table has no column 'other'; it has 'image'"
    }
    assert "the column holds string" in str(read(tmp_path / "t.parquet")["t#0"])
    assert str(read(tmp_path / "no.parquet")["t"]).startswith("unreadable_file: the table cannot be read: ArrowInvalid")


def test_of_a_damaged_group_each_row_is_told(tmp_path: Path):
    table = tmp_path / "t.parquet"
    save_table(table, VALUES[:4], rows=2)
    data = bytearray(table.read_bytes())
    data[4:40] = bytes(36)
    table.write_bytes(data)
    found = read(table)
    assert ["cannot be read here" in str(found[name]) for name in found] == [True, True, False, False]


def test_rows_are_read_as_they_were_written(tmp_path: Path):
    rows: list[dict[str, Any]] = [dict.fromkeys(SCHEMA.names) | {"id": f"\n{n}", "source": "ü"} for n in range(3000)]
    rows[1]["predictions"] = [{"label": "cat", "index": 1, "score": 0.5, "id": None}]
    write_rows(str(tmp_path / "t.parquet"), iter(rows), "vit")
    assert list(read_rows(str(tmp_path / "t.parquet"))) == rows
    assert model_of(str(tmp_path / "t.parquet")) == "vit"
