"""Owns what lies in folders, found while it is asked for, in the same order each time; does not open files."""

import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.bulk.images import reason_of
from app.imaging.files import is_hidden, is_image

Kind = Literal["file", "tar", "zip", "table", "url", "input", "lost"]
TARS: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True, slots=True)
class Found:
    """A file, archive, table, URL, standard input, or one that is lost: `reason` says why, `code` in a word."""

    kind: Kind
    path: str
    reason: str = ""
    code: str = "unreadable_file"


def kind_of(name: str) -> Kind | None:
    """By the end of its name; None for what is neither a picture nor may hold some."""
    lower = name.lower()
    if lower.endswith(TARS):
        return "tar"
    if lower.endswith(".zip"):
        return "zip"
    if lower.endswith(".parquet"):
        return "table"
    return "file" if is_image(name) else None


def walk(folder: str) -> Iterator[Found]:
    """All pictures, archives and tables below a folder, hidden ones left out, as if all paths had been sorted.

    Links are followed, but not round and round. In memory are the names in one folder and in those above it.
    """
    stack, empty = list[_Level](), True
    below: str | None = folder
    while below is not None or stack:
        if below is not None:
            try:
                level = _Level(below)
                if level.key not in (above.key for above in stack):
                    stack.append(level)
            except OSError as error:
                empty = False
                yield Found("lost", below, f"the folder cannot be read: {reason_of(error)}")
            below = None
        elif not stack[-1].names:
            stack.pop()
        else:
            name = stack[-1].names.pop()
            path = os.path.join(stack[-1].path, name)
            if name.endswith("/"):
                below = path[:-1]
                continue
            empty = False
            if os.path.exists(path) and not os.path.isfile(path):
                yield Found("lost", path, "it is no file but a device, pipe or socket")
            else:
                yield Found(kind_of(name) or "file", path)
    if empty:
        yield Found("lost", folder, "the folder holds no image files", "no_images")


def glob(pattern: str) -> Iterator[str]:
    """Paths that fit, sorted in each folder: `*`, `?`, `[…]`, and `**` for any folders; hidden ones when named so."""
    root, _, rest = pattern.rpartition("/") if not _is_magic(pattern) else ("", "", pattern)
    parts = [part for part in rest.split("/") if part]
    return _fitting("/" if pattern.startswith("/") else root, parts)


def is_glob(path: str) -> bool:
    """Whether it has a pattern's signs and is not itself the name of something."""
    return _is_magic(path) and not os.path.lexists(path)


class _Level:
    """An open folder: what is left of it, the next at the end, folders with a slash. Raises OSError."""

    def __init__(self, path: str) -> None:
        self.path = path
        stat = os.stat(path)
        self.key = (stat.st_dev, stat.st_ino)
        with os.scandir(path) as entries:
            names = (entry.name + "/" if entry.is_dir() else entry.name for entry in entries)
            self.names = [name for name in names if not is_hidden(name) and (name[-1] == "/" or kind_of(name))]
        self.names.sort(reverse=True)


def _fitting(base: str, parts: Sequence[str]) -> Iterator[str]:
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _fitting(base, rest)
        for name in _entries(base, folders=True, links=False):
            if not name.startswith("."):
                yield from _fitting(os.path.join(base, name), parts)
    elif _is_magic(part):
        for name in _entries(base, folders=bool(rest), links=True):
            if fnmatch.fnmatchcase(name, part) and (part.startswith(".") or not name.startswith(".")):
                yield from _fitting(os.path.join(base, name), rest)
    elif os.path.lexists(path := os.path.join(base, part)):
        yield from _fitting(path, rest)


def _entries(base: str, *, folders: bool, links: bool) -> list[str]:
    """Sorted; `**` follows no links, or it might go round. Of a folder that cannot be read, none."""
    try:
        with os.scandir(base or ".") as entries:
            return sorted(e.name for e in entries if not folders or e.is_dir(follow_symlinks=links))
    except OSError:
        return []


def _is_magic(path: str) -> bool:
    return any(sign in path for sign in "*?[")
