"""Owns pictures that lie on web servers: one request each, bounded in time and size; does not look for any."""

import time
from typing import TYPE_CHECKING, Final

from app.bulk.images import MOST_BYTES, Unreadable, too_large, unreadable

if TYPE_CHECKING:
    import httpx

_PHASE_S: Final = 10.0
_WHOLE_S: Final = 60.0
_REDIRECTS: Final = 5
_CODE: Final = "unreadable_url"


class Web:
    """Reads URLs from any thread; redirects are followed within http and https, and never from https back to http."""

    def __init__(self, transport: "httpx.BaseTransport | None" = None, whole_s: float = _WHOLE_S) -> None:
        self._whole_s = whole_s
        self._client: httpx.Client | None = None
        self._transport = transport

    def read(self, url: str) -> bytes:
        """Raises Unreadable."""
        import httpx  # takes a fifth of a second, and few name URLs

        if self._client is None:
            # No compression: a bomb could not be stopped in the middle of a chunk.
            self._client = httpx.Client(
                timeout=_PHASE_S, transport=self._transport, headers={"Accept-Encoding": "identity"}
            )
        until = time.monotonic() + self._whole_s
        try:
            with unreadable("the URL cannot be read"):
                return self._read(self._client, url, until)
        except Unreadable as error:
            raise Unreadable(str(error), _CODE if error.code == "unreadable_file" else error.code) from error.__cause__

    def _read(self, client: "httpx.Client", url: str, until: float) -> bytes:
        for _ in range(_REDIRECTS + 1):
            with client.stream("GET", url) as response:
                if response.next_request is None:
                    return _body(response, until)
                goes_to = response.next_request.url
            if goes_to.scheme not in ("https", response.url.scheme):
                raise Unreadable(f"the server sends elsewhere, by {goes_to.scheme}")
            url = str(goes_to)
        raise Unreadable("the server sends elsewhere again and again")


def _body(response: "httpx.Response", until: float) -> bytes:
    if response.status_code != 200:
        raise Unreadable(f"the server answers {response.status_code}")
    if "Content-Encoding" in response.headers:
        raise Unreadable("the server sends it compressed, though that was not asked for")
    chunks, length = list[bytes](), 0
    for chunk in response.iter_raw():
        chunks.append(chunk)
        length += len(chunk)
        if length > MOST_BYTES:
            raise too_large(length)
        if time.monotonic() > until:
            raise Unreadable("it was not there in time")
    return b"".join(chunks)
