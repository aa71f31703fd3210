"""Owns what is tried again, when, and how often; does not wait or send."""

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

from vit_client.errors import DeadlineExceeded, TransportError, Unavailable, VitError

# Ours or the configuration's mistakes: they would happen again.
_HOPELESS: Final = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.DecodingError, httpx.TooManyRedirects)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when what failed for now is tried again, always within the caller's deadline.

    That is safe, as classifying changes nothing: lost connections, and the statuses 408, 429, 502, 503 and 504. All
    others are not, 500 among them: an image on which the server failed could do so again, and to others.

    The wait is what Retry-After says, and on top of it a random time between 0 and `backoff_s`, doubled with each try
    (full jitter: clients refused together should not come back together); at most `longest_s`.

    `tries`: of one call. `patience`: so many answers of 408, 429, 502, 503 and 504 are waited for, outside `tries` and
    the budget; for jobs that nobody waits for. `per_try_s`: of one try.
    `budget`: retries that a client may have on credit; each takes 1, each call gives `deposit` back. So a sick service
    gets a fifth more requests, not four times as many.
    """

    tries: int = 4
    patience: int = 0
    backoff_s: float = 0.1
    longest_s: float = 60.0
    per_try_s: float = math.inf
    budget: float = 10.0
    deposit: float = 0.2
    chance: Callable[[], float] = random.random  # 0 … 1


PATIENT: Final = Retry(patience=30, longest_s=5.0, per_try_s=60.0)
ONCE: Final = Retry(tries=1)


class Budget:
    """A bucket of tokens; for any thread."""

    def __init__(self, most: float, deposit: float) -> None:
        self._tokens, self._most, self._deposit = most, most, deposit
        self._lock = threading.Lock()

    def put(self) -> None:
        """A call has begun."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._deposit)

    def take(self) -> bool:
        """Whether there is a retry left, which is then taken."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Tries:
    """Those of one call."""

    def __init__(self, retry: Retry, budget: Budget) -> None:
        self._retry, self._budget = retry, budget
        self._refused = self._failed = 0

    def wait_s(self, error: VitError) -> float | None:
        """Seconds to wait before the next try; None: there is none."""
        refused, retry = isinstance(error, Unavailable | DeadlineExceeded), self._retry
        if not refused and not (isinstance(error, TransportError) and not isinstance(error.__cause__, _HOPELESS)):
            return None
        if refused and retry.patience:
            if self._refused == retry.patience:
                return None
            self._refused += 1
        else:
            if self._failed >= retry.tries - 1 or not self._budget.take():
                return None
            self._failed += 1
        doublings = min(self._refused + self._failed - 1, 30)
        jitter = retry.chance() * min(retry.backoff_s * 2.0**doublings, retry.longest_s)
        return min((error.retry_after or 0.0) + jitter, retry.longest_s)
