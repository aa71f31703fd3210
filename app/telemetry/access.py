"""Owns which requests get a line in the log, and what it says; does not know HTTP's frameworks."""

import asyncio
import logging
import random
from typing import Final

from app.telemetry.logs import more
from app.telemetry.rate import RateLimit
from app.telemetry.served import Served

logger = logging.getLogger(__name__)
_FAILURES: Final = 10  # lines …
_PERIOD_S: Final = 1.0  # … in this time: 300 bytes and 30 µs each


class AccessLog:
    """Of failed requests the first few of each second, of all others a share from 0 to 1. For one event loop.

    A flood of refusals is what the service must not become slow by: those over the rate are sampled as others are,
    and what is left out is told as a number.
    """

    def __init__(self, share: float) -> None:
        self._share, self._limit, self._left_out = share, RateLimit(_FAILURES, _PERIOD_S), 0

    def wants(self, failed: bool) -> bool:
        """Whether this request gets a line."""
        if failed and self._limit.take():
            return True
        if self._share and random.random() < self._share:
            return True
        if failed:
            if not self._left_out:
                asyncio.get_running_loop().call_later(_PERIOD_S, self._tell)
            self._left_out += 1
        return False

    def write(self, served: Served) -> None:
        """Its line: a warning if the fault is ours or the service full, else information."""
        fields = {
            "request_id": served.request_id,
            "trace_id": served.trace_id,
            "client": served.client,
            "forwarded_for": served.forwarded_for,
            "method": served.method,
            "route": served.route,
            "status": served.status,
            "code": served.code,
            "cause": served.cause,
            "ms": round(served.seconds * 1000, 3),
            "bytes_in": served.bytes_in,
            "bytes_out": served.bytes_out,
        }
        logger.log(
            logging.WARNING if served.status >= 500 else logging.INFO,
            *("%s %s %d", served.method, served.route, served.status),
            extra=more({name: value for name, value in fields.items() if value is not None}, unlimited=True),
        )

    def _tell(self) -> None:
        count, self._left_out = self._left_out, 0
        logger.warning("%d more requests failed", count, extra=more({"left_out": count}, unlimited=True))
