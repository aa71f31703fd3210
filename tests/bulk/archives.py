"""Owns archives for the tests, sound and hostile; does not test."""

import io
import tarfile
import zipfile
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from app.bulk.images import Image, Unreadable
from app.bulk.tars import Opened

Members = Iterable[tuple[str, bytes]]


def tar(members: Members, mode: str = "w", **info: object) -> bytes:
    """`info`: fields of each member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            for field, value in info.items():
                setattr(entry, field, value)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def make_zip(members: Members, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def opened(data: bytes) -> Opened:
    def open_it() -> AbstractContextManager[BinaryIO]:
        return nullcontext(io.BytesIO(data))

    return open_it


def outcome(image: Image) -> bytes | str:
    """Its bytes, or why there are none."""
    try:
        return image.read()
    except Unreadable as error:
        return f"{error.code}: {error}"


def outcomes(images: Iterable[Image]) -> dict[str, bytes | str]:
    """By id; one that comes twice is a failure."""
    found: dict[str, bytes | str] = {}
    for image in images:
        assert image.id not in found
        found[image.id] = outcome(image)
    return found
