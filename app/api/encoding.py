"""Owns compressed request bodies, bounded; does not read them from the network."""

import zlib
from typing import Final

from app.errors import BodyTooLarge, MalformedRequest, UnsupportedEncoding

ACCEPTED: Final = "gzip, deflate"
_PIECE_BYTES: Final = 256 * 1024  # undone at a time; zlib holds no lock over that, and memory grows no faster
_MAX_MEMBERS: Final = 100
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS  # what some clients send as `deflate`, against RFC 9110, 8.4.1.2


def check_encoding(content_encoding: str) -> str:
    """`gzip`, `deflate`, or nothing for a body as it is. Raises UnsupportedEncoding."""
    names = [name.strip().lower() for name in content_encoding[:100].split(",")]
    name = ", ".join(name for name in names if name not in ("", "identity"))
    if not name:
        return ""
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedEncoding(f"a body with Content-Encoding {name!r} is not read; {ACCEPTED} are")
    return name.removeprefix("x-")


def decompress(body: bytes | bytearray, encoding: str, max_bytes: int) -> bytearray:
    """The body undone, at most `max_bytes` of it. Raises BodyTooLarge or MalformedRequest."""
    window = _GZIP if encoding == "gzip" else _ZLIB if body[:1] and body[0] & 0x0F == 8 else _RAW_DEFLATE
    whole, rest = bytearray(), memoryview(body)
    for _ in range(_MAX_MEMBERS):  # gzip files may follow each other, and are then read as one (RFC 1952, 2.2)
        member = zlib.decompressobj(window)
        try:
            rest = _decompress_member(member, rest, whole, max_bytes)
        except zlib.error as error:
            raise MalformedRequest(f"the body is not valid {encoding}: {error}") from error
        if not member.eof:
            raise MalformedRequest(f"the {encoding} body is cut short")
        if encoding != "gzip" or not rest or (rest[0] == 0 and not bytes(rest).strip(b"\0")):  # or filled up
            return whole
    raise MalformedRequest(f"the gzip body has more than {_MAX_MEMBERS} members")


def _decompress_member(member: "zlib._Decompress", data: memoryview, whole: bytearray, max_bytes: int) -> memoryview:
    """Appends what the member holds to `whole`; returns what follows it."""
    at = 0
    while at < len(data) and not member.eof:
        piece = data[at : at + _PIECE_BYTES]
        at += len(piece)
        while piece and not member.eof:
            whole += member.decompress(piece, _PIECE_BYTES)
            if len(whole) > max_bytes:
                raise BodyTooLarge(f"the body is larger than the limit of {max_bytes} bytes once decompressed")
            piece = memoryview(member.unconsumed_tail)
    return data[at - len(member.unused_data) :]
