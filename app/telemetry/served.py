"""Owns what is known of a request once it is answered, and nothing of its pictures; does not tell anybody."""

from typing import NamedTuple


class Served(NamedTuple):
    """One request; `code` and `cause` of its error, if it got one. What a client chose is as it was sent."""

    request_id: str
    method: str
    route: str
    status: int
    ended_at: float  # on the monotonic clock, in seconds
    seconds: float
    trace_id: str | None = None
    client: str | None = None  # who holds the connection: a proxy, where there is one
    forwarded_for: str | None = None  # what that one says of whom it asks for
    code: str | None = None
    cause: str | None = None
    bytes_in: int = 0  # of the body, as far as it was read
    bytes_out: int = 0
