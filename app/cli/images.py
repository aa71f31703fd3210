"""Owns the pictures that a measurement sends: those of a folder, or ours; does not decode them."""

from pathlib import Path
from typing import Final

import app
from app.errors import DatasetError, SetupError, printable
from app.imaging.files import list_images

_OURS: Final = Path(app.__file__).parent / "graphs" / "photographs"
_MOST: Final = 100


def read_images(folder: Path | None) -> tuple[bytes, ...]:
    """The pictures of a folder, 100 at most; without one, the photographs that come with the package.

    Raises SetupError if there are none or one cannot be read.
    """
    place = folder or _OURS
    try:
        bodies = tuple((place / name).read_bytes() for name in list_images(place)[:_MOST])
    except DatasetError as error:
        raise SetupError(printable(str(error))) from error
    except OSError as error:
        raise SetupError(printable(f"{place}: it cannot be read: {error.strerror}")) from error
    if not bodies:
        raise SetupError(printable(f"{place}: there are no images in it"))
    return bodies
