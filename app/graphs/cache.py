"""Owns the directory in which graphs and choices are kept between starts; does not make any.

It is only ever a saving of time: what is damaged, old or cannot be written is made again at the next start.
"""

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from app.errors import PackageError
from app.graphs.folder import FORMAT, Graphs, read_graphs
from app.graphs.library import openvino
from app.package.config import read_json
from app.package.whole import written_whole
from app.version import VERSION

_LONG_AGO_S: Final = 86_400.0
logger = logging.getLogger(__name__)
_READING: Final = 2  # to be raised when foreign checkpoints are read otherwise: what was read of them lies here, too
_VERSION: Final = f"{VERSION}-{FORMAT}.{_READING}-{openvino.__version__.partition('-')[0]}"


class Cache:
    """Entries by the key of their model; each appears whole or not at all, however many processes write at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def graphs(self, key: str) -> Graphs | None:
        """The graphs of a model; None if there are none that are whole."""
        path = self._graphs(key)
        try:
            return read_graphs(path, key) if path.is_dir() else None
        except (PackageError, OSError) as error:
            logger.warning("%s; it is made again", error)
            shutil.rmtree(path, ignore_errors=True)
            return None

    @contextmanager
    def draft(self, key: str) -> Iterator[Path]:
        """A folder to make a model's graphs in, which is gone afterwards unless kept. Raises OSError."""
        parent = self._graphs(key).parent
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        with tempfile.TemporaryDirectory(prefix=f".{key[:16]}.", dir=parent) as path:
            yield Path(path) / "graphs"

    def keep(self, key: str, draft: Path) -> Path:
        """Moves a finished draft to its place, and what other versions made of the same model away."""
        path = self._graphs(key)
        try:
            draft.replace(path)
        except OSError as error:
            if self.graphs(key) is None:  # else another process was faster
                logger.warning("%s cannot be kept in the cache: %s", draft, error)
                return draft
            return path
        for old in path.parent.glob(f"{key}-*"):
            if old != path:
                shutil.rmtree(old, ignore_errors=True)
        return path

    def choice(self, name: str) -> dict[str, Any] | None:
        """What was remembered under a name; None if nothing."""
        path = self._choice(name)
        try:
            return read_json(path) if path.is_file() else None
        except (PackageError, OSError):
            return None

    def remember(self, name: str, choice: Mapping[str, Any]) -> None:
        """Keeps it for `choice`, if it can be kept."""
        try:
            with written_whole(self._choice(name)) as draft:
                draft.write_text(json.dumps(choice) + "\n", encoding="utf-8")
        except OSError as error:
            logger.warning("the choice of an engine cannot be kept, so each start measures again: %s", error)

    def _graphs(self, key: str) -> Path:
        return self._directory / "graphs" / f"{key}-{_VERSION}"

    def _choice(self, name: str) -> Path:
        return self._directory / "choices" / f"{name}-{_READING}.json"


def _sweep(parent: Path) -> None:
    """Removes drafts of processes that were killed long ago."""
    for draft in parent.glob(".*"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _LONG_AGO_S:
                shutil.rmtree(draft, ignore_errors=True)
