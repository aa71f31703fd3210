"""Owns a request's body on its way into memory, bounded in time and bytes; does not know what is in it."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from app.api.admission import Held
from app.api.encoding import check_encoding, decompress
from app.api.state import State
from app.errors import BodyTimeout, ClientGone, EmptyBody

_GRACE_S: Final = 10.0  # a telephone in a tunnel is no attack
_PIECE_BYTES: Final = 2**20  # a buffer that grew further would be moved now and then, 16 MB of it in 8 ms


async def read_body(request: Request, held: Held, timeout_s: float) -> bytearray:
    """The body, decompressed; whoever sends it must keep ahead of the settings' least rate.

    Raises EmptyBody, UnsupportedEncoding, MalformedRequest, BodyTimeout, BodyTooLarge, Overloaded or ClientGone.
    """
    state = State.of(request)
    encoding = check_encoding(request.headers.get("content-encoding", ""))
    loop, most = asyncio.get_running_loop(), state.settings.max_body_bytes
    pieces, body = await _receive(request, held, timeout_s, state.settings.min_body_bytes_per_s)
    if pieces:
        pieces.append(bytes(body))
        body = await loop.run_in_executor(state.unpacking, _joined, pieces)
    if encoding:
        body = await loop.run_in_executor(state.unpacking, decompress, body, encoding, most)
        held.add(len(body))
    if not body:
        raise EmptyBody("the body is empty: send an image")
    return body


def _joined(pieces: list[bytes]) -> bytearray:
    """One buffer, for another thread than the event loop's: joining `bytes` keeps no other thread waiting."""
    body = bytearray().join(pieces)
    pieces.clear()
    return body


async def _receive(
    request: Request, held: Held, timeout_s: float, min_bytes_per_s: int
) -> tuple[list[bytes], bytearray]:
    """The body: the pieces before its last, and that, of less than `_PIECE_BYTES`."""
    loop, pieces, last = asyncio.get_running_loop(), list[bytes](), bytearray()
    started_at, received = loop.time(), 0

    def late_at() -> float:
        allowed_s = _GRACE_S + received / min_bytes_per_s if min_bytes_per_s else timeout_s
        return started_at + min(allowed_s, timeout_s)

    try:
        async with asyncio.timeout_at(late_at()) as limit:
            async for chunk in request.stream():  # request.body() would keep it
                held.add(len(chunk))
                received += len(chunk)
                last += chunk
                if len(last) >= _PIECE_BYTES:
                    pieces.append(bytes(last))
                    last.clear()
                limit.reschedule(late_at())
    except TimeoutError as error:
        after_s = loop.time() - started_at
        raise BodyTimeout(
            f"{received} bytes of the body arrived in {after_s:.1f} s; it must be whole within {timeout_s:.1f} s, "
            f"and faster than {min_bytes_per_s} bytes a second"
        ) from error
    except ClientDisconnect as error:
        raise ClientGone("the client left while sending") from error
    return pieces, last
