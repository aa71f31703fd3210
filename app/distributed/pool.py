"""Owns who works on which shard, and what happens when a node goes; does not know what a shard is.

Ray's own pools wait for a worker to be started again where the cluster has no room for it any more. Here what a lost
worker had is given to another at once.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ray
from ray.exceptions import RayError, RayTaskError

from app.distributed.plan import Shard
from app.distributed.store import Outcome
from app.distributed.worker import Job, Worker
from app.errors import SetupError, printable

_SHARDS_AT_ONCE: Final = 2  # of a worker: while the last images of one are computed, the next one's are read
_TRIES: Final = 5  # of a shard whose workers die: nodes go, but what kills each must not go round for ever
_LOOK_EVERY_S: Final = 2.0
_PATIENCE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Share:
    """What a worker takes of its node."""

    cpus: float
    gpus: float

    def fits(self) -> int:
        """How many the cluster has room for, were it empty."""
        nodes = (node["Resources"] for node in ray.nodes() if node["Alive"])
        return sum(
            int(min(node.get("CPU", 0) // self.cpus, node.get("GPU", 0) // self.gpus if self.gpus else 10**6))
            for node in nodes
        )


class Pool:
    """Workers come as the cluster has room, or `workers` of them; their shards are done in no order."""

    def __init__(self, job: Job, share: Share, workers: int, note: Callable[[str], None]) -> None:
        self._job, self._share, self._workers, self._note = job, share, workers, note
        self._actor_class = ray.remote(
            num_cpus=share.cpus, num_gpus=share.gpus, max_concurrency=_SHARDS_AT_ONCE, max_restarts=0
        )(Worker)
        self._waiting: deque[Shard] = deque()
        self._deaths: Counter[str] = Counter()
        self._coming: dict[Any, Any] = {}  # the reference of what a worker says once it has the model → worker
        self._load: dict[Any, int] = {}  # worker → shards that it has
        self._busy: dict[Any, tuple[Any, Shard]] = {}  # reference of the outcome → who has the shard
        self._looked_at = -_LOOK_EVERY_S
        self._idle_since = time.monotonic()

    def outcomes(self, shards: Sequence[Shard]) -> Iterator[Outcome]:
        """What became of each shard, once each. Raises SetupError; whoever stops listening ends the workers."""
        self._waiting.extend(shards)
        try:
            while self._waiting or self._busy:
                self._grow()
                self._feed()
                references = [*self._coming, *self._busy]
                if not references:
                    time.sleep(_LOOK_EVERY_S)
                for reference in ray.wait(references, timeout=_LOOK_EVERY_S)[0] if references else ():
                    if reference in self._coming:
                        self._arrived(reference)
                    elif (outcome := self._settled(reference)) is not None:
                        yield outcome
                self._tell_of_waiting()
        finally:
            for worker in [*self._load, *self._coming.values()]:
                ray.kill(worker)

    def _grow(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        most = min(self._workers or self._share.fits(), len(self._waiting) + len(self._busy))
        for _ in range(most - len(self._load) - len(self._coming)):
            worker = self._actor_class.remote(self._job)
            self._coming[worker.open.remote()] = worker

    def _feed(self) -> None:
        for _ in range(_SHARDS_AT_ONCE):  # one each before anybody has a second
            for worker, load in self._load.items():
                if self._waiting and load < _SHARDS_AT_ONCE:
                    shard = self._waiting.popleft()
                    self._busy[worker.do.remote(shard.to_json())] = worker, shard
                    self._load[worker] += 1

    def _arrived(self, reference: Any) -> None:
        worker = self._coming.pop(reference)
        try:
            error = ray.get(reference)
        except RayTaskError as raised:
            raise _ended(raised) from raised
        except RayError:  # its node went; `_grow` asks for another
            return
        if error is not None:
            raise SetupError(error)
        self._load[worker] = 0

    def _settled(self, reference: Any) -> Outcome | None:
        worker, shard = self._busy.pop(reference)
        try:
            outcome: Outcome = ray.get(reference)
        except RayTaskError as raised:
            raise _ended(raised) from raised
        except RayError as error:  # the worker, its node, or the way there
            self._lost(worker, shard, error)
            return None
        if worker in self._load:  # else it was given up for another of its shards
            self._load[worker] -= 1
        return outcome

    def _lost(self, worker: Any, shard: Shard, error: RayError) -> None:
        """Gives the shard to the next. If the worker lives on unseen, both write the same, and a file counts once."""
        if self._load.pop(worker, None) is not None:
            self._note("a worker is gone; others do what it had")
            ray.kill(worker)
        self._waiting.appendleft(shard)
        self._deaths[shard.name] += 1
        if self._deaths[shard.name] == _TRIES:
            raise SetupError(
                f"{_TRIES} workers died while they had the images of {printable(shard.urls[0])} and what follows; the "
                f"same command goes on with the rest: {line_of(error)}"
            ) from error

    def _tell_of_waiting(self) -> None:
        now = time.monotonic()
        if self._load:
            self._idle_since = now
        elif now - self._idle_since > _PATIENCE_S:
            self._idle_since = now
            self._note("waiting for a node with room for a worker, and for the model there")


def _ended(error: Exception) -> SetupError:
    return SetupError(f"the run ended early, and the same command goes on with it: {line_of(error)}")


def line_of(error: BaseException) -> str:
    """What went wrong in one line: of an error that Ray wraps, the innermost."""
    while (cause := getattr(error, "cause", None) or error.__cause__) is not None and isinstance(cause, BaseException):
        error = cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1] if lines else type(error).__name__)[:500]
