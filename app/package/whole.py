"""Owns that what is written appears whole or not at all; does not know what is written."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import PackageError


@contextmanager
def written_whole(destination: Path) -> Iterator[Path]:
    """A path to write a file or folder to, which is at `destination` only once the block has ended well.

    It lies beside it, on the same disk. A file that is there is replaced; what was begun is removed if anything stops
    it. Raises OSError.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as folder:
        draft = Path(folder) / destination.name
        yield draft
        draft.replace(destination)


@contextmanager
def written_anew(destination: Path) -> Iterator[Path]:
    """As `written_whole`, of what must not be there yet. Raises PackageError if it is, or cannot be written."""
    if destination.exists():
        raise PackageError(f"{destination}: is there already; nothing was written")
    try:
        with written_whole(destination) as draft:
            yield draft
    except OSError as error:
        raise PackageError(f"{destination}: cannot be written: {error}") from error
