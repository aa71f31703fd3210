"""Owns which connections are open, how many may be, and who goes first; does not read or write."""

import asyncio
import logging
import time
from typing import Final, Literal, Protocol

from app.api.connection.head import Refusal
from app.telemetry.access import AccessLog
from app.telemetry.served import Served

logger = logging.getLogger(__name__)
_LOG_EVERY_S: Final = 10.0
_JUST_COME_S: Final = 0.2
_MAX_KEPT_BYTES: Final = 32 * 2**20

Stage = Literal["connection", "head"]  # where a client was refused
Reason = Literal["idle_evicted", "idle_timeout", "header_timeout", "refused"]


class ConnectionObserver(Protocol):
    """Is told what happens below the application; must be quick."""

    def refused(self, status: int, code: str, stage: Stage) -> None:
        """A client got `status` without the application's knowing."""
        ...

    def connection_closed(self, reason: Reason) -> None:
        """We ended a connection."""
        ...


class Closable(Protocol):
    """A connection, as the registry sees it."""

    def evict(self) -> None:
        """Ends it at once: another needs its place."""
        ...

    def shutdown(self) -> None:
        """Ends it once what it has asked is answered."""
        ...


class Connections:
    """The open connections of one listener. For one event loop.

    Those that wait for their client, to send a request or the rest of one, can be closed in favour of a new one, the
    longest waiting first; those whose request is whole cannot.
    """

    def __init__(self, limit: int, observer: ConnectionObserver, access: AccessLog | None = None) -> None:
        self.limit, self.observer, self._access = limit, observer, access
        self.open: set[Closable] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._idle: dict[Closable, float] = {}  # and since when; ordered: the longest waiting first
        self._sending: dict[Closable, float] = {}
        self._turn_at = 0.0
        self._kept: dict[Closable, int] = {}
        self._kept_bytes = 0
        self._evicted, self._logged_at = 0, -_LOG_EVERY_S

    def enter(self, connection: Closable) -> bool:
        """Takes a connection in, for which another may have to go; False if there is no room for it."""
        if len(self.open) >= self.limit:
            self._log()
            victim = self._victim()
            if victim is None:
                self.observer.connection_closed("refused")
                return False
            self.leave(victim)
            victim.evict()
            self.observer.connection_closed("idle_evicted")
        self.open.add(connection)
        self._idle[connection] = time.monotonic()
        return True

    def leave(self, connection: Closable) -> None:
        """Forgets a connection."""
        self.open.discard(connection)
        self._forget(connection)
        self._kept_bytes -= self._kept.pop(connection, 0)

    def keeps(self, connection: Closable, nbytes: int) -> None:
        """How many bytes it holds of requests that were sent ahead; who exceeds what all may hold has to go."""
        self._kept_bytes += nbytes - self._kept.pop(connection, 0)
        if nbytes:
            self._kept[connection] = nbytes
            if self._kept_bytes > _MAX_KEPT_BYTES:
                self.leave(connection)
                connection.evict()
                self.observer.connection_closed("refused")

    def refused(self, refusal: Refusal, stage: Stage, request_id: str, client: str | None) -> None:
        """A client is refused without the application's knowing."""
        status, code, cause = refusal
        self.observer.refused(status, code, stage)
        if self._access is not None and self._access.wants(failed=True):
            request = Served(request_id, "-", "unparsed", status, time.monotonic(), 0.0)
            self._access.write(request._replace(client=client, code=code, cause=cause))

    def turn_at(self, now: float, spent_s: float) -> float:
        """When a connection that has cost the event loop so much may go on: all of them have a fifth of it together."""
        self._turn_at = max(self._turn_at, now) + 4 * spent_s
        return self._turn_at

    def is_idle(self, connection: Closable) -> None:
        """It waits for a request, or the rest of a head, from now on."""
        self._enlist(connection, self._idle)

    def is_sending(self, connection: Closable) -> None:
        """The head of its request is there and the body is not, or it does not read: it, too, waits for its client."""
        self._enlist(connection, self._sending)

    def is_busy(self, connection: Closable) -> None:
        """Its request is whole, so that it waits for us."""
        self._forget(connection)

    def _victim(self) -> Closable | None:
        """Who has to go: who asks for nothing, the longest first; but whoever has just come may be about to ask."""
        idle, sending = next(iter(self._idle.items()), None), next(iter(self._sending.items()), None)
        if idle is None or sending is None:
            return (idle or sending or (None,))[0]
        now = time.monotonic()
        return sending[0] if now - idle[1] < _JUST_COME_S <= now - sending[1] else idle[0]

    def _enlist(self, connection: Closable, waiting: dict[Closable, float]) -> None:
        self._forget(connection)
        if connection in self.open:  # one that was sent away may still be heard of
            waiting[connection] = time.monotonic()

    def _forget(self, connection: Closable) -> None:
        self._idle.pop(connection, None)
        self._sending.pop(connection, None)

    def _log(self) -> None:
        self._evicted += 1
        if (now := time.monotonic()) - self._logged_at >= _LOG_EVERY_S:
            logger.warning("all %d connections are taken; %d new ones met that", self.limit, self._evicted)
            self._evicted, self._logged_at = 0, now
