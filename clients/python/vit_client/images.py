"""Owns what may be given as an image, and its bytes; does not send or check them."""

import io
import os
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from vit_client.errors import UnreadableImage

_PNG_MODES: Final = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")


@runtime_checkable
class Readable(Protocol):
    """A file, opened for bytes."""

    def read(self) -> bytes:
        """All that is left of it."""
        ...


@runtime_checkable
class Picture(Protocol):
    """What Pillow's Image has, which is not needed here."""

    @property
    def mode(self) -> Any:
        """How its pixels are stored."""
        ...

    def convert(self, mode: str) -> Any:
        """In another mode."""
        ...

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Writes it."""
        ...

    def getexif(self) -> Any:
        """Its metadata."""
        ...


Image: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | Readable | Picture


def is_at_hand(image: object) -> bool:
    """Whether its bytes are here already, so that reading it takes no time."""
    return isinstance(image, bytes | bytearray | memoryview)


def read_image(image: object) -> bytes:
    """The bytes to send; blocks. Raises UnreadableImage."""
    try:
        if isinstance(image, bytes | bytearray | memoryview):
            return bytes(image)
        if isinstance(image, str | os.PathLike):
            with open(image, "rb") as file:
                return file.read()
        if isinstance(image, Readable):
            data = image.read()
            if isinstance(data, bytes):
                return data
            raise UnreadableImage("the file is opened as text; open it with 'rb'")
        if isinstance(image, Picture):
            return _as_png(image)
    except (OSError, ValueError) as error:  # ValueError: a closed file, or a path with a zero byte
        raise UnreadableImage(f"the image cannot be read: {_cause(error)}") from error
    raise UnreadableImage(f"an image is bytes, a path, a file or a Pillow image, not {type(image).__name__}")


def _cause(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _as_png(picture: Picture) -> bytes:
    """Without loss, little compressed; with the camera's rotation, which the server undoes as it does of a file."""
    out = io.BytesIO()
    plain = picture if picture.mode in _PNG_MODES else picture.convert("RGB")
    plain.save(out, "PNG", compress_level=1, exif=picture.getexif())
    return out.getvalue()
