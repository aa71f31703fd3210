"""Owns folders and object stores by URL: listing, reading, writing a file whole; does not know what is in the files."""

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec

from app.errors import DatasetError, SetupError, printable
from app.imaging.files import is_hidden, list_files

# Where a file appears whole or not at all once it is written; elsewhere a reader might see half of one.
_OBJECT_STORES: Final = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"}
_PAUSES_S: Final = (1.0, 4.0)  # before a store that failed is asked again
_FINAL: Final = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder somewhere: `path` as its file system names it."""

    fs: Any
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine, or of a file system that is mounted on it."""
        return "file" in _protocols(self.fs)

    @property
    def url(self) -> str:
        """What names it from every node: an absolute path, or a URL."""
        return self.path if self.is_local else str(self.fs.unstrip_protocol(self.path))

    def child(self, name: str) -> "Place":
        """A file in this folder."""
        return Place(self.fs, f"{self.path.rstrip('/')}/{name}")

    def files(self) -> list[str]:
        """Paths of all files below, relative to it, sorted; hidden ones left out. Raises DatasetError."""
        if self.is_local:
            names = list_files(Path(self.path))
        else:
            root = self.path.rstrip("/") + "/"
            self.fs.invalidate_cache()
            names = [str(name).removeprefix(root) for name in _told(self, self.fs.find, self.path)]
        return sorted(name for name in names if not is_hidden(name))

    def is_folder(self) -> bool:
        """Whether there may be files below it. Raises DatasetError if it cannot be asked, or is not there."""
        if not _told(self, self.fs.exists, self.path):
            raise DatasetError(f"{printable(self.url)}: there is no such file or folder")
        return bool(_told(self, self.fs.isdir, self.path))

    def exists(self) -> bool:
        """Whether there is such a file, now: stores keep listings."""
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self.path))

    def read(self) -> bytes:
        """The whole file; asked again where the store fails for now. Raises OSError, or what the store raises."""
        for pause_s in _PAUSES_S:
            try:
                return bytes(self.fs.cat_file(self.path))
            except _FINAL:
                raise
            except Exception:  # each store has errors of its own
                time.sleep(0.0 if self.is_local else pause_s)
        return bytes(self.fs.cat_file(self.path))

    def write(self, data: bytes, *, new: bool = False) -> None:
        """The file appears whole or not at all, in place of one of that name; `new`: FileExistsError if there is one.

        Of two writers of a `new` file in a folder one fails; in an object store the look and the writing are two steps.
        """
        if not self.is_local:
            if new and self.exists():
                raise FileExistsError(self.url)
            self.fs.pipe_file(self.path, data)
            return
        folder, _, name = self.path.rpartition("/")
        partial = f"{folder}/_{name}.{uuid.uuid4().hex}.partial"
        try:
            with open(partial, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # a node that loses power must not leave an empty file of the right name
            if new and _linked(partial, self.path):
                return
            os.replace(partial, self.path)
        finally:
            Path(partial).unlink(missing_ok=True)


def place(text: str) -> Place:
    """What a path or a URL names. Raises SetupError if nothing here can read such URLs."""
    if "://" not in text:  # not asked of fsspec, to which a :: in a file's name means one store in another
        return Place(fsspec.filesystem("file"), os.path.abspath(text))
    try:
        fs, path = fsspec.core.url_to_fs(text)
    except (ValueError, ImportError) as error:
        raise SetupError(f"{printable(text)}: {printable(str(error))}") from error
    return Place(fs, os.path.abspath(path) if "file" in _protocols(fs) else path)


def output_place(text: str) -> Place:
    """A folder to write to, made if need be. Raises SetupError if files do not appear there whole, or it is a file."""
    folder = place(text)
    if folder.is_local:
        try:
            os.makedirs(folder.path, exist_ok=True)
        except OSError as error:
            raise SetupError(f"{printable(text)}: cannot be made a folder: {error.strerror}") from error
    elif not _protocols(folder.fs) & _OBJECT_STORES:
        raise SetupError(f"{printable(text)}: results go to a folder that all nodes see, or to an object store")
    return folder


def _linked(partial: str, path: str) -> bool:
    """Gives it its name, unless it is taken: FileExistsError. False where the file system has no links."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.exists(path):
            raise FileExistsError(path) from None
        return False
    return True


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def _told(where: Place, ask: Any, path: str) -> Any:
    try:
        return ask(path)
    except Exception as error:  # each store has errors of its own
        raise DatasetError(
            f"{printable(where.url)}: cannot be read: {printable(f'{type(error).__name__}: {error}')}"
        ) from error
