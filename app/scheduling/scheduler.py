"""Owns the waiting jobs and hands them out in batches; does not run them or settle their callers."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from app.errors import Draining, Overloaded
from app.scheduling.job import Job
from app.scheduling.policy import BatchPolicy, Plan, plan


class Scheduler:
    """A bounded first-in-first-out queue, thread-safe, from which idle lanes pull; nobody polls.

    Whoever takes a job out of here (a lane by `next_batch`, a leaving caller by `cancel`) holds its slot from
    then on and must release it. That is why each job comes out exactly once.
    """

    def __init__(self, policy: BatchPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._waiting: OrderedDict[int, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._idle_lanes = 0
        self._closed = False

    def __len__(self) -> int:
        """Jobs waiting."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Puts a job at the end of the queue. Raises Overloaded when it is full, Draining when closed."""
        with self._changed:
            if self._closed:
                raise Draining("the service is shutting down")
            if len(self._waiting) >= self._policy.max_waiting:
                raise Overloaded(f"the queue is full with {self._policy.max_waiting} images")
            job.submitted_at = self._clock()
            self._waiting[job.id] = job
            self._changed.notify()

    def cancel(self, job_id: int) -> Job | None:
        """Takes a waiting job out; None if it is not waiting (any more)."""
        with self._changed:
            return self._waiting.pop(job_id, None)

    def next_batch(self) -> Plan | None:
        """Blocks until there is something to run or drop; None when closed and empty, for good."""
        with self._changed:
            self._idle_lanes += 1
            try:
                while not self._waiting:
                    if self._closed:
                        return None
                    self._changed.wait()
                cut = plan(self._waiting.values(), self._clock(), self._policy, self._idle_lanes)
                for job in [*cut.run, *cut.expired]:
                    del self._waiting[job.id]
                return cut
            finally:
                self._idle_lanes -= 1

    def close(self) -> None:
        """Takes no more jobs; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> list[Job]:
        """Closes and takes out everything that waits, for when no lane will come any more."""
        with self._changed:
            self._closed = True
            jobs = list(self._waiting.values())
            self._waiting.clear()
            self._changed.notify_all()
            return jobs
