"""Owns one simulated replica, event by event, by the service's own rules; does not balance load or draw arrivals."""

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.capacity.times import ServiceTimes
from app.pace import Pace
from app.scheduling.policy import admit, expected_wait_s, is_short

_TASKS_SEEDED: Final = 4096
_DECODED, _RAN, _READ, _REFUSED, _ANSWERED = range(5)
_MOST_UNREAD: Final = 4096  # requests that wait for the event loop; more find their connections closed


class Step(NamedTuple):
    """What a replica did between two calls of `take`: seconds of each answer, and the sums of the rest.

    `busy_s` are seconds of lanes running a batch, `wait_s` the mean of what a new image would have waited.
    """

    latencies_s: list[float]
    refused: int
    busy_s: float
    wait_s: float


class Replica:
    """One process: an event loop, decode threads and lanes, which share `cores`.

    Threads that want more cores than there are get equal shares. Admission and pace are the service's own functions.
    Not simulated: images that run out of their timeout while they wait, which admission makes rare.
    """

    def __init__(self, times: ServiceTimes, seed: int = 0, now: float = 0.0) -> None:
        self._times, self._now, self._policy = times, now, times.admission
        chance = random.Random(seed)
        self._decode_s = chance.choices(times.decode_s, k=_TASKS_SEEDED)
        sizes = range(times.max_batch_size + 1)
        self._batch_s = [times.batch_seconds(size) for size in sizes]
        self._alone_s = [times.alone_seconds(size) for size in sizes]
        self._work = 0.0  # seconds of work that each running task has had since the start
        self._width, self._speed = 0.0, 1.0  # cores asked for; seconds of work in a second
        self._running: list[tuple[float, int, int, object, float, float]] = []
        self._count = 0
        self._loop: deque[tuple[int, float]] = deque()
        self._loop_busy = False
        self._to_decode: deque[float] = deque()
        self._decoding = 0
        self._waiting: deque[float] = deque()
        self._idle_lanes = times.lanes
        self.in_flight = 0
        self._decode_pace, self._lane_pace = Pace(times.decode_threads), Pace(times.lanes)
        self._short_at = -math.inf
        self._latencies: list[float] = []
        self._refused, self._busy_s, self._inside_s, self._since = 0, 0.0, 0.0, now

    @property
    def expected_wait_s(self) -> float:
        """What admission takes a new image's wait for."""
        return expected_wait_s(self.in_flight, self._seconds_per_image)

    @property
    def empty(self) -> bool:
        """Whether nothing is under way."""
        return not self._running

    def take(self) -> Step:
        """What happened since the last call."""
        passed_s = self._now - self._since
        wait_s = self._inside_s / passed_s * self._seconds_per_image if passed_s > 0 else self.expected_wait_s
        step = Step(self._latencies, self._refused, self._busy_s, wait_s)
        self._latencies, self._refused, self._busy_s, self._inside_s, self._since = [], 0, 0.0, 0.0, self._now
        return step

    def advance(self, until: float, arrivals: Sequence[float] = ()) -> None:
        """Lives until that instant; `arrivals` are instants from now till then, ascending."""
        coming = iter(arrivals)
        next_at = next(coming, math.inf)
        while True:
            done_at = self._now + (self._running[0][0] - self._work) / self._speed if self._running else math.inf
            at = min(next_at, done_at, until)
            passed_s = max(at - self._now, 0.0)
            self._work += passed_s * self._speed
            self._busy_s += passed_s * (self._times.lanes - self._idle_lanes)
            self._inside_s += passed_s * self.in_flight
            self._now = max(at, self._now)
            if done_at <= at:
                self._finish()
            elif next_at <= at:
                self._arrive(next_at)
                next_at = next(coming, math.inf)
            else:
                return

    @property
    def _seconds_per_image(self) -> float:
        return max(self._lane_pace.seconds_per_image, self._decode_pace.seconds_per_image)

    def _start(self, kind: int, work_s: float, cores: float, what: object) -> None:
        self._count += 1
        heapq.heappush(self._running, (self._work + work_s, self._count, kind, what, cores, self._now))
        self._widen(cores)

    def _widen(self, cores: float) -> None:
        """So many more cores are asked for: how fast everything runs from now on."""
        self._width = max(0.0, self._width + cores)
        self._speed = min(1.0, self._times.cores / self._width) if self._width else 1.0

    def _finish(self) -> None:
        self._work, _, kind, what, cores, started_at = heapq.heappop(self._running)
        self._widen(-cores)
        if kind == _DECODED:
            self._decode_pace.add(1, self._now - started_at)
            self._decoding -= 1
            assert isinstance(what, float)
            self._waiting.append(what)
            self._decode()
            self._run()
        elif kind == _RAN:
            assert isinstance(what, list)
            self._lane_pace.add(len(what), self._now - started_at)
            self._idle_lanes += 1
            self.in_flight -= len(what)
            self._loop.extend((_ANSWERED, arrived_at) for arrived_at in what)
            self._run()
            self._turn()
        else:
            assert isinstance(what, float)
            self._loop_busy = False
            if kind == _READ:
                self._to_decode.append(what)
                self._decode()
            elif kind == _REFUSED:
                self._refused += 1
            else:
                self._latencies.append(self._now - what + self._times.hop_s)
            self._turn()

    def _arrive(self, at: float) -> None:
        if len(self._loop) >= _MOST_UNREAD:
            self._refused += 1
            return
        self._loop.append((_READ, at))
        self._turn()

    def _turn(self) -> None:
        """The event loop does the next thing, if it is idle."""
        if self._loop_busy or not self._loop:
            return
        kind, arrived_at = self._loop.popleft()
        work_s = self._times.http_s / 2
        if kind == _READ:
            if self._admitted():
                self.in_flight += 1
            else:
                kind, work_s = _REFUSED, self._times.refused_s
        self._loop_busy = True
        self._start(kind, work_s, 1.0, arrived_at)

    def _admitted(self) -> bool:
        policy, wait_s = self._policy, self.expected_wait_s
        if is_short(wait_s, policy):
            self._short_at = self._now
        if self.in_flight >= self._times.slots:
            return False
        calm, timeout_s = self._now - self._short_at <= policy.calm_s, self._times.request_timeout_ms / 1000
        return admit(self.in_flight, self._seconds_per_image, timeout_s, policy, calm=calm) is None

    def _decode(self) -> None:
        while self._to_decode and self._decoding < self._times.decode_threads:
            self._decoding += 1
            self._start(_DECODED, self._decode_s[self._count % _TASKS_SEEDED], 1.0, self._to_decode.popleft())

    def _run(self) -> None:
        """Idle lanes take what waits, shared between them, as `scheduling.policy.plan` has it."""
        times = self._times
        while self._waiting and self._idle_lanes:
            size = min(times.max_batch_size, -(-len(self._waiting) // self._idle_lanes))
            batch = [self._waiting.popleft() for _ in range(size)]
            self._idle_lanes -= 1
            if self._idle_lanes == times.lanes - 1 and not self._waiting:
                self._start(_RAN, self._alone_s[size], times.alone_cores, batch)
            else:
                self._start(_RAN, self._batch_s[size], times.lane_cores, batch)
