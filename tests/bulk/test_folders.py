"""Owns the tests of bulk/folders.py."""

import glob as python_glob
import os
import socket
import subprocess
from pathlib import Path

import pytest

from app.bulk.folders import glob, is_glob, walk
from app.imaging.files import list_images

NAMES = ["a/1.jpg", "a/b/2.jpg", "a.png", "a/b.jpg", "b/x.txt", "b/.hidden/3.jpg", ".4.jpg", "z/5.PNG", "z/[1].jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def walked(folder: Path) -> list[str]:
    return [os.path.relpath(found.path, folder) for found in walk(str(folder))]


def test_images_come_as_if_all_paths_were_sorted(folder: Path):
    assert walked(folder) == list_images(folder)


def test_archives_and_tables_are_found_too(folder: Path):
    for name in ("a/s.tar", "a/s.tar.gz", "a/s.zip", "a/s.parquet"):
        (folder / name).touch()
    kinds = {found.kind: found.path for found in walk(str(folder / "a"))}
    assert set(kinds) == {"file", "tar", "zip", "table"}


def test_links_are_followed_but_not_round_and_round(folder: Path):
    (folder / "a" / "up").symlink_to(folder)
    (folder / "z" / "b").symlink_to(folder / "a" / "b")
    (folder / "z" / "gone.jpg").symlink_to(folder / "nothing.jpg")
    assert walked(folder) == [
        "a.png",
        "a/1.jpg",
        "a/b.jpg",
        "a/b/2.jpg",
        "z/5.PNG",
        "z/[1].jpg",
        "z/b/2.jpg",
        "z/gone.jpg",
    ]


def test_what_is_no_file_is_told_and_not_opened(folder: Path, monkeypatch: pytest.MonkeyPatch):
    os.mkfifo(folder / "b" / "pipe.jpg")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("b/socket.jpg")
        found = {os.path.basename(each.path): each.kind for each in walk("b")}
    assert found == {"pipe.jpg": "lost", "socket.jpg": "lost"}


def test_a_folder_without_images_or_that_cannot_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert [(each.kind, each.code) for each in walk(str(folder / "b"))] == [("lost", "no_images")]
    scandir = os.scandir

    def refuse(path: str):
        if path.endswith("a"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list(walk(str(folder)))
    assert [each.reason for each in found if each.kind == "lost"] == ["the folder cannot be read: Permission denied"]
    assert len(found) == 4


def test_very_deep_folders_are_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    Path("x.jpg").touch()
    monkeypatch.chdir(tmp_path)
    try:
        assert [found.kind for found in walk(".")] == ["file"]
    finally:
        subprocess.run(["rm", "-r", "d"], check=True)  # Python's own way of removing them is recursive


@pytest.mark.parametrize("pattern", ["*", "*/*.jpg", "**/*.jpg", "a/**/*.jpg", "?/[0-9].*", "a/**", "no*", "a/*/2.jpg"])
def test_patterns_fit_what_pythons_do(folder: Path, pattern: str):
    found = [path.rstrip("/") for path in glob(f"{folder}/{pattern}")]
    expected = python_glob.glob(f"{folder}/{pattern}", recursive=True)
    if pattern.endswith("**"):  # folders are searched later
        expected = [path for path in expected if os.path.isdir(path)]
    assert sorted(found) == sorted(path.rstrip("/") for path in expected)


def test_a_pattern_here_and_a_name_like_one(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    assert list(glob("*/5.*")) == ["z/5.PNG"]
    assert is_glob("z/[2].jpg") and not is_glob("z/[1].jpg")
