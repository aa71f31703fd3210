"""Owns the pictures in a tar archive, one after the other; extracts nothing, goes never back; does not open files."""

import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Final, cast

from app.bulk.images import MOST_BYTES, Image, failing, given, reason_of, text, too_large
from app.bulk.names import Numbered
from app.bulk.unpacking import Forward, unpacked
from app.imaging.files import is_image

_HEADER_BYTES: Final = 2**20  # of a member, with all its extensions
Opened = Callable[[], AbstractContextManager[BinaryIO]]


def tar_images(opened: Opened, name: str) -> Iterator[Image]:
    """Of an archive, also one compressed, read from its beginning to its end: it may come from a store or a pipe.

    An image's id is `name#member`, and of the second of the same name `name#member@2`. Raises nothing about what is in
    the file: what ends early has one more element, for what is lost, that raises when it is read.
    """
    numbered = Numbered()
    try:
        with opened() as file:
            forward = Forward(unpacked(file), _HEADER_BYTES)
            archive: Any = tarfile.TarFile(fileobj=cast(Any, forward))
            for member in _members(archive, forward):
                if member.isdir() or not is_image(member.name.replace("../", "")):
                    continue
                member_name = text(member.name)
                identity = f"{name}#{numbered.number(member_name)}"
                forward.allow(_HEADER_BYTES + member.size)
                yield Image(identity, name, _read(archive, member), member=member_name, size=member.size)
    except Exception as error:  # each store has errors of its own, tarfile those of its decompressors too
        yield Image(name, name, failing(f"the archive cannot be read further: {reason_of(error)}"))


def _members(archive: Any, forward: Forward) -> Iterator[tarfile.TarInfo]:
    """Raises ReadError for damage after which tarfile would just end."""
    while True:
        forward.allow(_HEADER_BYTES)
        member = archive.next()
        archive.members.clear()  # tarfile would keep all, which typeshed does not know
        archive.pax_headers.clear()
        if member is None:
            if forward.last.strip(b"\0"):
                raise tarfile.ReadError("a header is damaged")
            return
        yield member


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], bytes]:
    """Read now, for the archive goes on."""
    if not member.isreg() or member.issparse():
        return failing("it is no plain file but a link or device, which is not followed")
    if member.size > MOST_BYTES:
        error = too_large(member.size)
        return failing(str(error), error.code)
    data = archive.extractfile(member)
    assert data is not None  # it is a file
    return given(data.read())
