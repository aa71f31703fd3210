"""Owns a server whose event loop is watched: the CPU time of its longest callback; does not send to it.

The server is a process of its own, so that neither the tests' interpreter lock nor their garbage counts, and its loop
is asyncio's, since uvloop's callbacks cannot be seen. CPU time of the loop's thread, so that no other process counts.
"""

import asyncio
import gc
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, NamedTuple

from tests.attack.wire import HOST, free_port, request, talk

_START_S: Final = 60.0


class Callback(NamedTuple):
    """One turn of the loop for one task or socket."""

    seconds: float
    what: str


class LoopWatch:
    """Measures every callback of asyncio's loops, once installed."""

    def __init__(self) -> None:
        self._longest = Callback(0.0, "none")
        self._collecting_since = self._collected_s = 0.0

    def install(self) -> None:
        """For the rest of the process's life, or until the one returned attribute is put back."""
        run = asyncio.events.Handle._run

        def watched(handle: asyncio.Handle) -> None:
            self._collected_s, started_at = 0.0, time.thread_time()
            try:
                run(handle)
            finally:
                seconds = time.thread_time() - started_at
                if seconds > self._longest.seconds:
                    self._longest = Callback(seconds, self._describe(handle))

        gc.callbacks.append(self._collecting)
        asyncio.events.Handle._run = watched  # type: ignore[method-assign, assignment]

    def cut(self) -> Callback:
        """The longest since the last time."""
        longest, self._longest = self._longest, Callback(0.0, "none")
        return longest

    def _collecting(self, phase: str, _: object) -> None:
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self._collected_s += time.thread_time() - self._collecting_since

    def _describe(self, handle: asyncio.Handle) -> str:
        callback: Any = getattr(handle, "_callback", None)
        garbage = f"{1000 * self._collected_s:.1f} ms of it collecting garbage, " if self._collected_s else ""
        return garbage + repr(getattr(callback, "__self__", None) or callback)[:300]


class Watched:
    """The server in its process."""

    def __init__(self, port: int, grpc_port: int, pipe: Connection) -> None:
        self.port, self.grpc_port, self._pipe = port, grpc_port, pipe

    def cut(self) -> Callback:
        """The longest callback since the last time."""
        self._pipe.send("cut")
        longest: Callback = self._pipe.recv()
        return longest


@contextmanager
def watched(**options: object) -> Iterator[Watched]:
    """Serves with these settings until the end. Raises TimeoutError if it is not ready in time."""
    port, grpc_port = free_port(), free_port()
    spawn = multiprocessing.get_context("spawn")
    pipe, other = spawn.Pipe()
    process = spawn.Process(
        target=_serve, args=({**options, "host": HOST, "port": port, "grpc_port": grpc_port}, other), daemon=True
    )
    process.start()
    try:
        asyncio.run(_ready(port, process))
        yield Watched(port, grpc_port, pipe)
    finally:
        process.terminate()
        process.join(20)
        process.kill()
        process.join()
        pipe.close()
        other.close()


async def _ready(port: int, process: SpawnProcess) -> None:
    until = time.monotonic() + _START_S
    while (await talk(port, request(b"GET /readyz HTTP/1.1"))).statuses != [200]:
        if time.monotonic() > until or not process.is_alive():
            raise TimeoutError("the watched server does not become ready")
        await asyncio.sleep(0.05)


def _serve(options: dict[str, Any], pipe: Connection) -> None:
    import uvloop

    watch = LoopWatch()
    watch.install()
    uvloop.new_event_loop = asyncio.SelectorEventLoop  # type: ignore[assignment]  # whoever asks for uvloop's gets this

    def answer() -> None:
        while True:
            pipe.recv()
            pipe.send(watch.cut())

    threading.Thread(target=answer, daemon=True).start()
    from app.api import server
    from app.settings import Settings

    raise SystemExit(server.run(Settings(**options)))
