"""Owns the numbers that bound a connection; does not enforce them."""

import resource
from dataclasses import dataclass
from typing import Final

_KEPT_FOR_THE_REST: Final = 64  # descriptors: log, libraries, model files, the admin port's connections
_FEWEST: Final = 16
_MOST: Final = 65_536


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds and bytes that a client may cost outside of its requests' own work.

    `keep_alive_s` is longer than load balancers keep their side open, 60 s as a rule, or they meet a closed one.
    """

    keep_alive_s: float = 75.0
    header_timeout_s: float = 10.0
    max_head_bytes: int = 64 * 1024
    max_headers: int = 100
    max_pipelined: int = 32
    max_connections: int = 1024


def connections_that_fit(asked: int) -> int:
    """`asked`, or if that is 0 or too many, as many connections as the limit on descriptors leaves room for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = _MOST if soft == resource.RLIM_INFINITY else max(soft - _KEPT_FOR_THE_REST, _FEWEST)
    return min(asked or _MOST, room, _MOST)
