"""Owns bytes out of a compressed stream, read on and never back, in bounded memory; does not know what they are."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from typing import Any, BinaryIO, Final, cast

_CHUNK_BYTES: Final = 64 * 2**10
_XZ_MEMORY_BYTES: Final = 256 * 2**20  # the best compression takes 65 MiB, and a file may claim 4 GiB
Read = Callable[[int], bytes]


class Replayed:
    """A file of which the first bytes, `begin`, have been read already."""

    def __init__(self, begin: bytes, file: BinaryIO) -> None:
        self._begin, self._file = begin, file

    def read(self, size: int = -1) -> bytes:
        """As of a file; fewer bytes than asked for are not yet its end."""
        if not self._begin:
            return self._file.read(size)
        if size < 0:
            size = len(self._begin)
        data, self._begin = self._begin[:size], self._begin[size:]
        return data


def unpacked(file: BinaryIO) -> Read:
    """Reads what is in it: gzip, bzip2 and xz are known by their first bytes, others are read as they are.

    It raises what Python's decompressors do.
    """
    begin = file.read(6)
    whole = cast(Any, Replayed(begin, file))
    if begin.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=whole, mode="rb").read
    if begin.startswith(b"BZh"):
        return bz2.BZ2File(whole).read
    if begin.startswith(b"\xfd7zXZ\0"):
        return _Xz(whole.read).read
    return cast(Read, whole.read)


class Forward:
    """What tarfile takes for a file: skips by reading, and reads no more than it was allowed, whatever a header says.

    `last`: what was read last.
    """

    def __init__(self, read: Read, allowed: int) -> None:
        self._read, self._at, self._allowed = read, 0, allowed
        self.last = b""

    def allow(self, size: int) -> None:
        """So many bytes may be read from here on, besides those that are skipped."""
        self._allowed = size

    def tell(self) -> int:
        """Bytes from the beginning."""
        return self._at

    def seek(self, position: int) -> int:
        """Goes on to there, or to the end. Raises ValueError for a way back."""
        if position < self._at:
            raise ValueError("a header points back")
        while self._at < position and (skipped := self._read(min(_CHUNK_BYTES, position - self._at))):
            self._at += len(skipped)
        return self._at

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end. Raises ValueError for more than are allowed."""
        self._allowed -= size
        if size < 0 or self._allowed < 0:
            raise ValueError("a header is too large")
        parts, missing = list[bytes](), size
        while missing and (part := self._read(missing)):
            parts.append(part)
            missing -= len(part)
        self.last = b"".join(parts)
        self._at += len(self.last)
        return self.last


class _Xz:
    """lzma.LZMAFile has no bound on memory."""

    def __init__(self, read: Read) -> None:
        self._read, self._left = read, b""
        self._decompressor = self._new()

    def read(self, size: int) -> bytes:
        """At least one byte, but at the end."""
        while True:
            if self._decompressor.eof:
                self._left = self._decompressor.unused_data.lstrip(b"\0") or self._read(_CHUNK_BYTES).lstrip(b"\0")
                if not self._left:
                    return b""
                self._decompressor = self._new()
            packed, self._left = self._left, b""
            if not packed and self._decompressor.needs_input and not (packed := self._read(_CHUNK_BYTES)):
                raise EOFError("the compressed data end too early")
            if data := self._decompressor.decompress(packed, size):
                return data

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)
