"""Owns the threads that decode, ordinary pictures apart from large ones; does not decide how many may wait."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final, NamedTuple

from app.domain import PreprocessSpec
from app.imaging.decode import Pixels
from app.imaging.header import read_header
from app.imaging.price import DecodeLimits, Price, check, price
from app.imaging.resample import preprocess
from app.pace import Pace

# A telephone's usual 12 megapixels are below both; a bomb of 50 bytes is ten times above.
_LARGE_S: Final = 0.2
_LARGE_BYTES: Final = 128 * 2**20
_NICE: Final = 10  # a tenth of a core where others want it too; all of it where nobody does


class Examined(NamedTuple):
    """What a picture's header tells."""

    pixels: int
    price: Price


class _Task(NamedTuple):
    future: Future[None]
    held: list[bytes | bytearray]  # emptied once cancelled or begun: a task in the queue then holds no bytes
    price: Price
    out: Pixels


class _Lane:
    """Threads with a queue of their own, first in, first out, among which `max_bytes` of memory are shared.

    The threads are daemons: the end of the process waits for no decoder.
    """

    def __init__(self, pool: "DecodePool", name: str, threads: int, max_bytes: int, nice: int) -> None:
        self._pool, self._max_bytes, self._nice = pool, max_bytes, nice
        self._waiting: deque[_Task] = deque()
        self._changed = threading.Condition()
        self.running_bytes, self._running_s, self.threads, self._closed = 0, 0.0, threads, False
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def put(self, task: _Task) -> None:
        with self._changed:
            if self._closed:
                task.future.cancel()
                return
            self._waiting.append(task)
            self._changed.notify()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def wait_s(self) -> float:
        """Seconds until a thread is free for one more, by the prices of those before it."""
        with self._changed:
            waiting_s = sum(task.price.seconds for task in self._waiting if not task.future.cancelled())
            return (waiting_s + self._running_s) / self.threads

    def close(self, until: float) -> None:
        """Cancels what waits; joins the threads until that instant of the monotonic clock."""
        with self._changed:
            self._closed = True
            for task in self._waiting:
                task.future.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def _work(self) -> None:
        if self._nice and sys.platform == "linux":  # where a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        while (task := self._next()) is not None:
            settle = self._pool.run(task, measured=not self._nice)
            with self._changed:
                self.running_bytes -= task.price.nbytes
                self._running_s -= task.price.seconds
                self._changed.notify()
            settle()  # only now: whoever is told may ask for the place at once
            del task, settle

    def _next(self) -> _Task | None:
        with self._changed:
            while not self._waiting or not self._fits(self._waiting[0]):
                if self._closed and not self._waiting:
                    return None
                self._changed.wait()
            task = self._waiting.popleft()
            self.running_bytes += task.price.nbytes
            self._running_s += task.price.seconds
            return task

    def _fits(self, task: _Task) -> bool:
        return not self.running_bytes or self.running_bytes + task.price.nbytes <= self._max_bytes


class DecodePool:
    """Decodes and resizes off the event loop. The decoders leave the GIL, so threads scale over cores.

    Large pictures, by their price, have half as many threads to themselves, of low priority, so that they do not
    stand in the way of ordinary ones. To decode in processes that can be killed, replace this class: nothing else
    knows where a picture is decoded.
    """

    def __init__(self, threads: int, spec: PreprocessSpec, limits: DecodeLimits, nice: int = 0) -> None:
        """`nice`: of the threads for ordinary pictures, as the operating system counts it."""
        self._spec, self._limits = spec, limits
        self._large_bytes = min(_LARGE_BYTES, limits.max_bytes // 4)
        self._ordinary = _Lane(self, "decode", threads, limits.max_bytes // 2, nice)
        self._large = _Lane(self, "decode-large", max(threads // 2, 1), limits.max_bytes, max(nice, _NICE))
        self._pace = Pace(threads)
        self._busy_s, self._counting = 0.0, threading.Lock()

    def examine(self, data: bytes | bytearray) -> Examined:
        """What decoding would cost, by the header alone, in under a millisecond whatever the bytes are.

        Raises EmptyBody, NotAnImage, CorruptImage or TooManyPixels.
        """
        header = read_header(data)
        check(header, self._limits)
        return Examined(header.width * header.height, price(header))

    def submit(self, data: bytes | bytearray, cost: Price, out: Pixels) -> Future[None]:
        """Decodes `data` into `out` (spec.height, spec.width, 3); the future fails with a RequestError.

        A future cancelled in time never touches `out`; one that runs writes to it until it is done.
        """
        task = _Task(Future(), [data], cost, out)
        held = task.held  # not the task, or the future would hold itself
        task.future.add_done_callback(lambda _: held.clear())
        self._lane(cost).put(task)
        return task.future

    def run(self, task: _Task, measured: bool) -> Callable[[], None]:
        """Decodes one picture in the calling thread, nothing if it was cancelled; what is returned tells the caller."""
        if not task.future.set_running_or_notify_cancel():
            return lambda: None
        started_at = time.perf_counter()
        try:
            preprocess(task.held.pop(), self._spec, self._limits, task.out)
        except BaseException as error:
            settle = partial(task.future.set_exception, error)
        else:
            settle = partial(task.future.set_result, None)
        took_s = time.perf_counter() - started_at
        with self._counting:
            self._busy_s += took_s
        if measured:
            self._pace.add(1, took_s)
        return settle

    def wait_s(self, cost: Price) -> float:
        """Seconds before a large picture's turn, by the prices of those before it; 0 for ordinary ones."""
        return self._large.wait_s if self._lane(cost) is self._large else 0.0

    @property
    def seconds_per_image(self) -> float:
        """Measured: how often an ordinary image leaves when all threads are busy, 0 before the first."""
        return self._pace.seconds_per_image

    @property
    def busy_seconds(self) -> float:
        """For which threads have decoded, all of them together, since the start."""
        return self._busy_s

    @property
    def waiting(self) -> int:
        """Pictures before their turn."""
        return self._ordinary.waiting + self._large.waiting

    @property
    def threads(self) -> int:
        """Those for ordinary pictures, and those for large ones."""
        return self._ordinary.threads + self._large.threads

    @property
    def running_bytes(self) -> int:
        """Memory of what is being decoded now, by its price."""
        return self._ordinary.running_bytes + self._large.running_bytes

    def close(self, until: float | None = None) -> None:
        """Ends the threads once they are idle, or leaves them at that monotonic instant; what waits is cancelled."""
        for lane in (self._ordinary, self._large):
            lane.close(time.monotonic() + 3600 if until is None else until)

    def _lane(self, cost: Price) -> _Lane:
        large = cost.seconds > _LARGE_S or cost.nbytes > self._large_bytes
        return self._large if large else self._ordinary
