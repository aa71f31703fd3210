"""Owns the pictures in a zip archive, in the order of its directory; extracts nothing; does not open files.

Python's zipfile reads the whole directory, some 600 bytes a member; this reads it as it goes, so that a million
members, or an archive that claims more, take no more memory than ten.
"""

import bz2
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO, Final

from app.bulk.images import MOST_BYTES, Image, Unreadable, failing, given, reason_of, text, too_large, unreadable
from app.bulk.names import Numbered
from app.bulk.tars import Opened
from app.imaging.files import is_image

# APPNOTE.TXT 4.3: the end of the directory, that of ZIP64 and where it is, an entry, what stands before the data
_END, _LOCATOR, _END64 = Struct("<4s4H2LH"), Struct("<4sLQL"), Struct("<4sQ2H2L4Q")
_ENTRY, _LOCAL = Struct("<4s6H3L5H2L"), Struct("<4s5H3L2H")
_COMMENT_BYTES: Final = 2**16
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNKNOWN: Final = 0xFFFFFFFF  # as 32 bits; the number is in the ZIP64 field


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def zip_images(opened: Opened, name: str) -> Iterator[Image]:
    """Of an archive; ids and errors as of `tar_images`. The file must be one that can be sought in."""
    numbered = Numbered()
    try:
        with opened() as file:
            for member in _members(file):
                if not _is_picture(member.name):
                    continue
                member_name = text(member.name)
                identity = f"{name}#{numbered.number(member_name)}"
                try:
                    with unreadable("it cannot be unpacked"):
                        data = _unpack(file, member)
                    yield Image(identity, name, given(data), member=member_name, size=len(data))
                except Unreadable as error:
                    yield Image(identity, name, failing(str(error), error.code), member=member_name)
    except Exception as error:
        yield Image(name, name, failing(f"the archive cannot be read further: {reason_of(error)}"))


def count_zip(file: BinaryIO) -> int:
    """How many pictures it says it has. Raises an error of some kind where it is damaged."""
    return sum(_is_picture(member.name) for member in _members(file))


def _is_picture(name: str) -> bool:
    return not name.endswith("/") and is_image(name.replace("../", ""))


def _members(file: BinaryIO) -> Iterator[_Member]:
    """Raises Unreadable."""
    at, end, shift = _directory(file)
    while at < end:
        file.seek(at)
        signature, *_, flags, method, _, _, crc, packed, size, n, m, k, _, _, _, offset = _ENTRY.unpack(
            _exactly(file, _ENTRY.size)
        )
        if signature != b"PK\1\2":
            raise Unreadable("its directory is damaged")
        raw, extra = _exactly(file, n), _exactly(file, m)
        packed, size, offset = _long(extra, size, packed, offset)
        name = raw.decode("utf-8", "surrogateescape") if flags & _UTF8 else raw.decode("cp437")
        yield _Member(name, flags, method, crc, packed, size, offset + shift)
        at += _ENTRY.size + n + m + k


def _directory(file: BinaryIO) -> tuple[int, int, int]:
    """Where the directory begins and ends, and how many bytes stand before the archive. Raises Unreadable."""
    length = file.seek(0, os.SEEK_END)
    start = max(length - _END.size - _COMMENT_BYTES, 0)
    file.seek(start)
    tail = file.read()
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < _END.size:
        raise Unreadable("it is no zip archive, or cut short")
    end = start + found
    *_, size, offset, _ = _END.unpack_from(tail, found)
    if found >= _LOCATOR.size and tail[found - _LOCATOR.size :][:4] == b"PK\6\7":
        end -= _LOCATOR.size + _END64.size  # where it says it is holds only if nothing stands before the archive
        file.seek(max(end, 0))
        signature, *_, size, offset = _END64.unpack(_exactly(file, _END64.size))
        if signature != b"PK\6\6":
            raise Unreadable("its directory is damaged")
    shift = end - size - offset
    if shift < 0:
        raise Unreadable("its directory is damaged")
    return offset + shift, end, shift


def _long(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """(packed, size, offset), from the ZIP64 field where they are too large for an entry."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = int.from_bytes(extra[at : at + 2], "little"), int.from_bytes(extra[at + 2 : at + 4], "little")
        if kind == 1:
            numbers = iter(extra[i : i + 8] for i in range(at + 4, at + 4 + length, 8))
            size, packed, offset = (
                int.from_bytes(next(numbers, b""), "little") if number == _UNKNOWN else number
                for number in (size, packed, offset)
            )
            break
        at += 4 + length
    return packed, size, offset


def _unpack(file: BinaryIO, member: _Member) -> bytes:
    """Raises Unreadable, and what decompressors raise."""
    if member.flags & _ENCRYPTED:
        raise Unreadable("it is encrypted")
    if max(member.size, member.packed) > MOST_BYTES:
        raise too_large(max(member.size, member.packed))
    file.seek(member.offset)
    signature, *_, n, m = _LOCAL.unpack(_exactly(file, _LOCAL.size))
    if signature != b"PK\3\4":
        raise Unreadable("its header is damaged")
    file.seek(n + m, os.SEEK_CUR)
    packed = _exactly(file, member.packed)
    if member.method == 0:
        data = packed
    elif member.method == 8:
        data = zlib.decompressobj(-15).decompress(packed, member.size + 1)
    elif member.method == 12:
        data = bz2.BZ2Decompressor().decompress(packed, member.size + 1)
    else:
        raise Unreadable(f"it is compressed by method {member.method}, which is not read")
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise Unreadable("it is not what the directory says")
    return data


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise Unreadable("it is cut short")
    return data
