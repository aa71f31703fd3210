"""Owns what is read of a shard: names that stay, damage that is told; needs pyarrow, but no cluster."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.pictures import png, save_table, save_tar

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray")]


def read(path: Path, kind: Any, groups: tuple[int, ...] = ()) -> dict[str, bytes | str]:
    """Each image's name with its bytes, or with why there are none; a name that comes twice is a failure."""
    from app.bulk.images import Unreadable
    from app.distributed.images import images_of
    from app.distributed.plan import Shard

    found: dict[str, bytes | str] = {}
    for image in images_of(Shard("s", kind, (str(path),), groups), "image"):
        name = image.id.removeprefix(str(path))
        assert name not in found
        try:
            found[name] = image.read()
        except Unreadable as error:
            found[name] = str(error)
    return found


def test_members_of_an_archive_by_name_and_one_of_the_same_name_by_its_number(tmp_path: Path) -> None:
    members = [("a/1.png", png(1)), ("a/1.json", b"{}"), ("a/1.png", png(2)), (".hidden.png", b""), ("2.jpg", b"x")]
    for name, mode in {"a.tar": "w", "a.tar.gz": "w:gz"}.items():
        save_tar(tmp_path / name, members, mode)
        assert read(tmp_path / name, "tar") == {"#a/1.png": png(1), "#a/1.png@2": png(2), "#2.jpg": b"x"}


def test_of_an_archive_that_is_cut_short_all_before_it_is_read_and_the_rest_is_told(tmp_path: Path) -> None:
    save_tar(tmp_path / "a.tar", [("1.png", png(1)), ("2.png", png(2))])
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[: 512 + 2560 + 512 + 100])
    found = read(tmp_path / "a.tar", "tar")
    assert found["#1.png"] == png(1)
    assert "the archive cannot be read further" in str(found[""])
    assert "cannot be read further: No such file" in str(read(tmp_path / "gone.tar", "tar")[""])


@pytest.mark.parametrize("nested", [False, True])
def test_rows_of_a_table_by_their_number_in_the_file(tmp_path: Path, nested: bool) -> None:
    pictures = [png(0), None, png(2), b"", png(4)]
    values = [value if not nested else {"bytes": value, "path": "x"} for value in pictures]
    save_table(tmp_path / "t.parquet", values, rows=2)
    assert read(tmp_path / "t.parquet", "parquet", (0, 2)) == {"#0": png(0), "#1": b"", "#4": png(4)}
    assert read(tmp_path / "t.parquet", "parquet", (1,)) == {"#2": png(2), "#3": b""}


def test_of_a_damaged_table_each_row_is_told(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    save_table(table, [png(number) for number in range(4)], rows=2)
    data = bytearray(table.read_bytes())
    data[4:40] = bytes(36)  # the first group's page
    table.write_bytes(data)
    found = read(table, "parquet", (0, 1))
    assert ["cannot be read here" in str(found[name]) for name in ("#0", "#1")] == [True, True]
    assert (found["#2"], found["#3"]) == (png(2), png(3))


def test_strange_names_stay_what_they_are(tmp_path: Path) -> None:
    from app.distributed.images import images_of
    from app.distributed.plan import Shard

    names = [os.fsencode(tmp_path) + b"/" + raw for raw in (b"\xff.png", b"\xfe.png", b"a::b*.png")]
    for number, name in enumerate(names):
        Path(os.fsdecode(name)).write_bytes(png(number))
    shard = Shard.from_json(Shard("s", "files", tuple(map(os.fsdecode, names))).to_json())
    images = list(images_of(shard, "image"))
    assert [image.id for image in images] == [f"{tmp_path}/\\xff.png", f"{tmp_path}/\\xfe.png", f"{tmp_path}/a::b*.png"]
    assert [image.read() for image in images] == [png(0), png(1), png(2)]
