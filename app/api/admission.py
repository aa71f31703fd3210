"""Owns the bound on open requests, which bounds the memory of bodies; does not judge the load of the device."""

from app.errors import Overloaded


class OpenRequests:
    """Counts the requests that are being read or answered: `with open_requests: …` holds a place.

    Entering raises Overloaded when all are taken. For one event loop.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._count = limit, 0

    def __enter__(self) -> None:
        if self._count >= self._limit:
            raise Overloaded(f"{self._limit} requests are open already")
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
