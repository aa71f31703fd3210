"""Owns which files are pictures, by their names, and finding them in a folder; does not open any."""

import os
from pathlib import Path
from typing import Final, NoReturn

from app.errors import DatasetError

# Also those that the decoder may not read: such a file is named as broken, where an unknown one is left out in silence.
_SUFFIXES: Final = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"),
    *(".jxl", ".jp2", ".j2k", ".jpf", ".jpx", ".jxr", ".wdp"),
}


def list_images(folder: Path) -> list[str]:
    """Paths of the image files below a folder, relative to it, sorted; images by suffix, hidden files left out.

    Links are followed. Raises DatasetError, naming it, for a folder that cannot be read: it may be a whole class.
    """
    return sorted(name for name in list_files(folder) if is_image(name))


def list_files(folder: Path) -> list[str]:
    """Paths of all files below a folder, relative to it, in no order. Raises DatasetError as `list_images`."""
    names = []
    for place, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        here = Path(place)
        ancestor_of = here.resolve().is_relative_to
        folders[:] = [name for name in folders if not ancestor_of((here / name).resolve())]  # else round and round
        names += [(here / name).relative_to(folder).as_posix() for name in files if (here / name).is_file()]
    return names


def is_image(name: str) -> bool:
    """By suffix; what macOS and editors leave behind (`__MACOSX/._cat.jpg`) is none."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a part of the path begins as what macOS and editors leave behind."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/") if part != ".")


def _unreadable(error: OSError) -> NoReturn:
    raise DatasetError(f"{error.filename}: cannot be read: {error.strerror}") from error
