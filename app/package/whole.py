"""Owns that what is written appears whole or not at all; does not know what is written."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
