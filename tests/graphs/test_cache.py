"""Owns the tests of graphs/cache.py."""

import errno
import shutil
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

from app.graphs import cache as module
from app.graphs.cache import Cache
from app.graphs.folder import Graphs, read_graphs, write_manifest, write_probes

KEY = "0f" * 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is whole; nobody looks at a graph here."""
    folder = tmp_path_factory.mktemp("made")
    for suffix in (".xml", ".bin"):
        (folder / f"float32{suffix}").write_bytes(bytes(99))
    write_probes(folder, np.zeros((2, 4, 4, 3), np.uint8), {"float32": np.zeros((2, 3), np.float32)})
    write_manifest(folder, KEY, {})
    return folder


def put(cache: Cache, made: Path) -> Path:
    with cache.draft(KEY) as draft:
        shutil.copytree(made, draft)
        return cache.keep(KEY, draft)


def drafts(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.name.startswith((".", "vit-serve."))]


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_was_kept_is_found(made: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "not" / "there yet")
    assert cache.graphs(KEY) is None
    kept = put(cache, made)
    graphs = cache.graphs(KEY)
    assert graphs and graphs.paths == {"float32": kept / "float32.xml"}
    assert Cache(tmp_path / "not" / "there yet").graphs(KEY)
    assert cache.graphs("aa" * 32) is None
    assert drafts(tmp_path) == []


@pytest.mark.parametrize("name", ["float32.bin", "manifest.json", "probes.safetensors"])
def test_a_damaged_entry_is_removed_and_told(
    made: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    kept = put(cache, made)
    (kept / name).write_bytes(b"\0" * 10)
    assert cache.graphs(KEY) is None
    assert not kept.exists()
    assert name in caplog.text and "made again" in caplog.text
    put(cache, made)
    assert cache.graphs(KEY)


def test_a_draft_that_is_left_half_done_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(KeyboardInterrupt), cache.draft(KEY) as draft:
        draft.mkdir()
        (draft / "float32.xml").write_text("half")
        raise KeyboardInterrupt
    assert cache.graphs(KEY) is None
    assert drafts(tmp_path) == []


def test_of_two_writers_at_once_the_second_finds_the_first_and_both_read(made: Path, tmp_path: Path) -> None:
    barrier, found, kept = Barrier(2), list[Graphs | None](), list[Path]()

    def write() -> None:
        cache = Cache(tmp_path)
        with cache.draft(KEY) as draft:
            shutil.copytree(made, draft)
            barrier.wait(10)
            kept.append(cache.keep(KEY, draft))
            barrier.wait(10)
            read_graphs(kept[-1], KEY)
        found.append(cache.graphs(KEY))

    writers = [Thread(target=write) for _ in range(2)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(20)
    assert len(found) == 2 and all(found)
    assert kept[0] == kept[1]
    assert drafts(tmp_path) == []


def test_what_other_versions_made_of_the_same_model_goes(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(module, "_VERSION", "0.0.1-1-2025.1.0")
        old = put(Cache(tmp_path), made)
    other = old.parent / f"{'bb' * 32}-0.0.1"
    other.mkdir()
    assert Cache(tmp_path).graphs(KEY) is None  # not read by this version
    kept = put(Cache(tmp_path), made)
    assert kept != old
    assert not old.exists()
    assert other.is_dir()
    assert Cache(tmp_path).graphs(KEY)


def test_where_nothing_can_be_written_drafts_are_refused_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the place of the directory")
    cache = Cache(tmp_path / "file")
    with pytest.raises(OSError), cache.draft(KEY):
        raise AssertionError("there is a place")
    assert cache.graphs(KEY) is None
    cache.remember("a", {"best": 1})
    assert "each start measures again" in caplog.text
    assert cache.choice("a") is None


def test_a_draft_that_cannot_be_moved_serves_and_it_is_told(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    monkeypatch.setattr(Path, "replace", refuse)
    with cache.draft(KEY) as draft:
        shutil.copytree(made, draft)
        assert cache.keep(KEY, draft) == draft
        assert read_graphs(draft, KEY)
    assert "No space left" in caplog.text
    cache.remember("a", {"best": 1})
    assert cache.choice("a") is None


def test_a_damaged_entry_that_cannot_be_replaced_is_not_taken_for_the_draft(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that can only be read."""
    cache = Cache(tmp_path)
    (put(cache, made) / "float32.bin").write_bytes(b"cut short")
    with cache.draft(KEY) as draft:
        shutil.copytree(made, draft)
        monkeypatch.setattr(Path, "replace", refuse)
        monkeypatch.setattr("app.graphs.cache.shutil.rmtree", lambda path, ignore_errors: None)
        assert cache.graphs(KEY) is None
        assert cache.keep(KEY, draft) == draft
        monkeypatch.undo()


def test_a_directory_that_cannot_be_looked_into_is_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As that of a user whose home is another's; a name that is too long ends in an error for root, too."""
    cache = Cache(tmp_path / ("x" * 300))
    assert cache.graphs(KEY) is None
    assert cache.choice("a") is None
    cache.remember("a", {"best": 1})
    assert "File name too long" in caplog.text


def test_a_choice_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    choice = {"best": {"engine": "torch", "images_per_s": 1.5, "why_not": None}, "candidates": [{"ä": 1}]}
    cache = Cache(tmp_path)
    assert cache.choice("a") is None
    cache.remember("a", choice)
    assert Cache(tmp_path).choice("a") == choice
    assert cache.choice("b") is None
    cache.remember("a", {"failed": "later"})
    assert cache.choice("a") == {"failed": "later"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"best": 1', b"[" * 100_000])
def test_a_broken_choice_is_none(tmp_path: Path, data: bytes) -> None:
    cache = Cache(tmp_path)
    cache.remember("a", {"best": 1})
    [path] = (tmp_path / "choices").iterdir()
    path.write_bytes(data)
    assert cache.choice("a") is None
