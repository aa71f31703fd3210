"""Owns the tests of bulk/inputs.py."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.bulk.inputs import Inputs
from tests.bulk.archives import make_zip, outcomes, tar
from tests.distributed.pictures import save_table

Stdin = Callable[[bytes], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/1.jpg").write_bytes(b"1")
    Path("in/2.tar").write_bytes(tar([("x.jpg", b"2")]))
    Path("in/3.zip").write_bytes(make_zip([("x.jpg", b"3"), ("y.txt", b"")]))
    save_table(Path("in/4.parquet"), [b"4"])
    return tmp_path


ALL = {"in/1.jpg": b"1", "in/2.tar#x.jpg": b"2", "in/3.zip#x.jpg": b"3", "in/4.parquet#0": b"4"}


def read(*paths: str, **options: object) -> dict[str, bytes | str]:
    return outcomes(Inputs(paths, **options).images())  # type: ignore[arg-type]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stdin]:
    """Makes bytes standard input."""
    with ExitStack() as stack:

        def become(data: bytes) -> None:
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(data)
            file.seek(0)
            monkeypatch.setattr(sys, "stdin", file)

        yield become


@pytest.mark.parametrize("path", ["in", "in/*", "@list", "i?"])
def test_a_folder_a_pattern_and_a_list_find_the_same(folder: Path, path: str):
    Path("list").write_text("in/1.jpg\r\n\nin/2.tar\nin/3.zip\nin/4.parquet")
    assert read(path) == ALL
    assert list(read(path)) == list(ALL)


def test_names_of_all_bytes_come_in_lists(folder: Path):
    names = [b"in/a\nb.jpg", b"in/\xff.jpg", b"in/*.jpg", b"@x", b"in/\\xff.jpg"]
    for name in names:
        Path(os.fsdecode(name)).write_bytes(name)
    Path("list").write_bytes(b"\0".join(names[:4]))
    found = read(lists=("list",), nul=True)
    assert found == {"in/a\nb.jpg": names[0], "in/\\xff.jpg": names[1], "in/*.jpg": names[2], "@x": names[3]}


def test_lists_come_from_standard_input(folder: Path, stdin: Stdin):
    stdin(b"in/1.jpg\nnothing.jpg\n")
    found = read(lists=("-",))
    assert found.pop("in/1.jpg") == b"1"
    assert found == {"nothing.jpg": "unreadable_file: the file cannot be read: No such file or directory"}


def test_a_list_that_is_none_is_told(folder: Path):
    Path("endless").write_bytes(b"a" * 200_000)
    assert "No such file" in str(read("@nowhere")["nowhere"])
    assert "a line is too long for a path" in str(read("@endless")["endless"])
    Path("zeros").write_bytes(b"a\0b\nin/1.jpg\n")
    assert list(read("@zeros").values())[1] == b"1"


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_standard_input_is_an_archive_or_one_image(folder: Path, stdin: Stdin, mode: str):
    stdin(tar([("x.jpg", b"x" * 1000), ("y.jpg", b"y")], mode))
    assert read("-") == {"-#x.jpg": b"x" * 1000, "-#y.jpg": b"y"}
    stdin(b"a picture" * 100_000)
    assert read("-") == {"-": b"a picture" * 100_000}


def test_what_has_no_end_is_not_read_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.bulk.images.MOST_BYTES", 2**20)
    assert str(read("/dev/zero")["/dev/zero"]).startswith("body_too_large: ")


def test_the_results_are_none_of_the_inputs(folder: Path):
    assert list(read("in", without=str(folder / "in" / "4.parquet"))) == list(ALL)[:3]


def test_all_are_counted_without_reading_any(folder: Path):
    assert Inputs(("in/1.jpg", "in/3.zip", "in/4.parquet", "nothing*", "gone.zip")).count() == 5
    assert Inputs(("in",)).count() is None  # an archive without a directory
    assert Inputs(("-",)).count() is None
    assert Inputs((), ("-",)).count() is None


def test_to_count_takes_nothing_out_of_a_pipe(folder: Path):
    reader, writer = os.pipe()
    with open(reader, "rb"), open(writer, "wb") as file:
        file.write(b"in/1.jpg\n")
        file.flush()
        for inputs in (Inputs((f"@/dev/fd/{reader}",)), Inputs((), (f"/dev/fd/{reader}",))):
            assert inputs.count() is None
        assert os.read(reader, 100) == b"in/1.jpg\n"


def test_without_pyarrow_a_table_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "app.bulk.tables", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = read("in")
    assert found["in/4.parquet"] == (
        "unreadable_file: Parquet needs pyarrow, which is not installed here: pip install 'vit-serve[parquet]'"
    )
    assert len(found) == 4
