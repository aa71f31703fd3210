"""Owns what one picture of very many is: what names it, and how its bytes are had; does not look for any."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

from app.errors import BodyTooLarge

MOST_BYTES: Final = 256 * 2**20  # of one picture, as a file or unpacked
_CHUNK_BYTES: Final = 64 * 2**10


class Unreadable(Exception):
    """Why the bytes of a picture, or all that follow in its archive or table, cannot be had; `code` is stable."""

    def __init__(self, reason: str, code: str = "unreadable_file") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Image:
    """`id` is the same in every run; `read` is called once, in a thread, and raises Unreadable.

    `size`: about how many bytes it will keep in memory, 0 if that is not known before it is read.
    """

    id: str
    source: str
    read: Callable[[], bytes]
    member: str | None = None
    row: int | None = None
    size: int = 0


def text(name: str) -> str:
    """A name as text, by its number each byte that is none: two names stay two."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def given(data: bytes) -> Callable[[], bytes]:
    """Reads what is there."""
    return lambda: data


def failing(reason: str, code: str = "unreadable_file") -> Callable[[], bytes]:
    """Reads nothing, for that reason."""

    def read() -> bytes:
        raise Unreadable(reason, code)

    return read


def too_large(size: int) -> Unreadable:
    """Of a picture with more than `MOST_BYTES`."""
    return Unreadable(f"it has {size:,} bytes or more, {MOST_BYTES:,} are read", BodyTooLarge.code)


def read_whole(file: BinaryIO, size: int = 0) -> bytes:
    """All that is in it, of which `size` bytes are expected. Raises Unreadable for more than `MOST_BYTES`."""
    if size > MOST_BYTES:
        raise too_large(size)
    data = file.read(size + 1)
    if len(data) <= size:
        return data
    chunks, length = [data], len(data)
    while chunk := file.read(_CHUNK_BYTES):
        chunks.append(chunk)
        length += len(chunk)
        if length > MOST_BYTES:  # a device, or a pipe, has no end
            raise too_large(length)
    return b"".join(chunks)


@contextmanager
def unreadable(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is Unreadable: stores and decompressors have errors of their own."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(f"{what}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """One line; of the system's errors without the path, which the row has."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, Unreadable):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
