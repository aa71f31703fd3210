"""Owns images written as text: base64 as people send it, and data URLs; does not know what carries the text."""

import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from app.errors import MalformedRequest

# Undone at a time: the interpreter lets no other thread run within one call, and sixteen megabytes take 30 ms.
_PIECE_CHARS: Final = 256 * 1024
_SPACE: Final = b" \t\r\n"
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")  # RFC 4648, section 5
# All that base64 ever has escaped. In C, one after the other; undoing any escape there is takes a second.
_ESCAPED: Final = {
    b"%2B": b"+",
    b"%2b": b"+",
    b"%2F": b"/",
    b"%2f": b"/",
    b"%3D": b"=",
    b"%3d": b"=",
    b"%0A": b"",
    b"%0a": b"",
    b"%0D": b"",
    b"%0d": b"",
    b"%20": b"",
}
_DATA_URL: Final = re.compile(
    rb"\s*data(?::|%3A)([^,%]{0,100}(?:%[0-9A-F]{2}[^,%]{0,100}){0,8}?)(?:,|%2C)", re.IGNORECASE
)
_PREFIX_CHARS: Final = 1024
_MAX_RAW_CHARS: Final = 2**20  # of a data URL that is not base64, three characters a byte; nobody sends photographs so
_BEGINS_LIKE_BASE64: Final = re.compile(rb"\s*(?:[A-Za-z0-9+/_-]|%2[BF]){16}", re.IGNORECASE)


def looks_like_text(data: bytes | bytearray | memoryview) -> bool:
    """Whether bytes that are no image may be one written as text, by their first few."""
    start = bytes(data[:_PREFIX_CHARS])
    return bool(_BEGINS_LIKE_BASE64.match(start) or _DATA_URL.match(start))


def image_from_text(text: bytes | bytearray | memoryview) -> bytes:
    """The image's bytes from base64, plain or URL-safe, padded or not, or from a data URL (RFC 2397).

    White space is left out, and what is percent-encoded is decoded first. Raises MalformedRequest.
    """
    text = memoryview(text)
    if bytes(text[:8]).lower().startswith((b"http://", b"https://")):
        raise MalformedRequest("an image is an address; addresses are not fetched here: send its bytes")
    if url := _DATA_URL.match(bytes(text[:_PREFIX_CHARS])):
        text = text[url.end() :]
        if not unquote_to_bytes(url[1]).lower().endswith(b"base64"):
            if len(text) > _MAX_RAW_CHARS:
                raise MalformedRequest(f"a data URL of over {_MAX_RAW_CHARS} characters must be base64")
            return unquote_to_bytes(bytes(text))
    decoded, rest = bytearray(), b""
    for at in range(0, len(text), _PIECE_CHARS):
        last = at + _PIECE_CHARS >= len(text)
        piece = rest + bytes(text[at : at + _PIECE_CHARS])
        cut = -1 if last else piece.rfind(b"%", -2)  # not through an escape
        piece, kept = (piece, b"") if cut < 0 else (piece[:cut], piece[cut:])
        if b"%" in piece:
            for escaped, plain in _ESCAPED.items():
                piece = piece.replace(escaped, plain)
        piece = piece.translate(_URL_SAFE, _SPACE)
        whole = len(piece) if last else len(piece) // 4 * 4
        rest = piece[whole:] + kept
        decoded += _decode(piece[:whole])
    return bytes(decoded)


def _decode(piece: bytes) -> bytes:
    digits = piece.rstrip(b"=")
    try:
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)
    except binascii.Error as error:
        raise MalformedRequest(f"an image is not valid base64: {str(error).lower()}") from error
