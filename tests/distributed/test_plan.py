"""Owns what is found and how it is cut: each unit in exactly one shard; needs pyarrow, but no cluster."""

from pathlib import Path

import pytest

from app.errors import DatasetError, SetupError
from tests.distributed.pictures import png, save_table, save_tar

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray")]


def test_a_folder_holds_pictures_archives_and_tables_and_none_of_them_twice(folder: Path) -> None:
    from app.distributed.places import place
    from app.distributed.plan import cut, find_units

    save_tar(folder / "more.tar", [("1.png", png(1))])
    save_table(folder / "t.parquet", [png(number) for number in range(25)], rows=10)
    paths = [str(folder), str(folder / "a"), str(folder / "b" / "*.png"), str(folder / "b" / "000.png")]
    units = find_units(paths, "image", place(str(folder / "out")))
    keys = [unit.key for unit in units]
    assert len(set(keys)) == len(keys)
    assert sum(unit.kind == "files" for unit in units) == 14
    assert [unit.images for unit in units if unit.kind == "parquet"] == [10, 10, 5]
    shards = cut(units, 8, "0000")
    assert sorted(key for shard in shards for key in shard.keys) == sorted(keys)
    assert {kind: sum(shard.kind == kind for shard in shards) for kind in ("files", "tar", "parquet")} == {
        "files": 2,
        "tar": 1,
        "parquet": 3,
    }
    assert len({shard.name for shard in shards}) == len(shards)


def test_what_lies_in_the_results_is_no_input(tmp_path: Path) -> None:
    from app.distributed.places import place
    from app.distributed.plan import find_units

    save_table(tmp_path / "out" / "part.parquet", [png(1)])
    with pytest.raises(DatasetError, match="holds no pictures"):
        find_units([str(tmp_path)], "image", place(str(tmp_path / "out")))


def test_errors_name_the_cause_and_what_to_do(tmp_path: Path) -> None:
    from app.distributed.places import output_place, place
    from app.distributed.plan import find_units

    save_table(tmp_path / "t.parquet", [png(1)], column="picture")
    save_table(tmp_path / "n.parquet", [7], column="image")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    out = place(str(tmp_path / "out"))
    for path, message in {
        "t.parquet": "has no column 'image'; --image-column takes one of: 'picture'",
        "n.parquet": "column 'image' holds int64, not the bytes of pictures",
        "broken.parquet": "no Parquet that can be read",
        "gone.png": "there is no such file or folder",
        "*.jpg": "nothing fits",
    }.items():
        with pytest.raises(DatasetError, match=message.replace("*", ".")):
            find_units([str(tmp_path / path)], "image", out)
    with pytest.raises(SetupError, match="strange"):
        place("strange://bucket/a")
    with pytest.raises(SetupError, match="all nodes see"):
        output_place("http://127.0.0.1:1/out")
    with pytest.raises(SetupError, match="cannot be made a folder"):
        output_place(str(tmp_path / "t.parquet"))
