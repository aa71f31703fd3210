"""Owns asking on a fixed beat from a process of its own, and what each asking met; does not know what is asked.

In its own process the asker's times are the server's, and not those of an attacker in the same interpreter.
"""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, NamedTuple

from tests.attack.wire import Answer, Streams, connect, parse

_REPLY_S: Final = 30.0  # for the rounds that are under way, and a machine under attack
_KEPT: Final = 1  # connections of a caller: a pool that grows would look like descriptors that the server lost


class Round(NamedTuple):
    """One asking: seconds from when it was due, and how it ended: right, wrong, a status or an exception's name."""

    seconds: float
    outcome: str
    first: str = ""  # how it ended before it was tried again, if it was


class Asker(NamedTuple):
    """Something to ask, by number, and how often a second. It travels to another process."""

    ask: Callable[[int], Coroutine[Any, Any, Round]]
    per_s: float


class Beside:
    """The process: `begin()` forgets what was, `end()` waits for what is under way and gives all rounds since."""

    def __init__(self, asker: Asker) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, other = spawn.Pipe()
        self._process = spawn.Process(target=_main, args=(asker, other), daemon=True)

    def __enter__(self) -> "Beside":
        self._process.start()
        self._pipe.recv()  # it is there
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def begin(self) -> None:
        """What is due from now on counts."""
        self._pipe.send("begin")

    def end(self) -> list[Round]:
        """Raises TimeoutError if the process does not come back."""
        self._pipe.send("end")
        if not self._pipe.poll(_REPLY_S):
            raise TimeoutError("a process beside the attack does not answer")
        rounds: list[Round] = self._pipe.recv()
        return rounds


def _main(asker: Asker, pipe: Connection) -> None:
    asyncio.run(_ask_on(asker, pipe))


async def _ask_on(asker: Asker, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    rounds: list[Round] = []
    open_rounds: set[asyncio.Task[Round]] = set()

    async def reply() -> None:
        if open_rounds:
            await asyncio.wait(list(open_rounds))
        pipe.send(rounds)

    def told() -> None:
        nonlocal rounds, open_rounds
        if pipe.recv() == "begin":
            rounds, open_rounds = [], set()
        else:
            replies.append(loop.create_task(reply()))

    replies: list[asyncio.Task[None]] = []
    loop.add_reader(pipe.fileno(), told)
    pipe.send("ready")
    due_at, number = loop.time(), 0
    while True:
        await asyncio.sleep(max(0.0, due_at - loop.time()))
        task = asyncio.create_task(asker.ask(number))
        open_rounds.add(task)
        task.add_done_callback(partial(_enter, rounds, open_rounds))
        due_at, number = due_at + 1 / asker.per_s, number + 1


def _enter(rounds: list[Round], open_rounds: set[asyncio.Task[Round]], task: asyncio.Task[Round]) -> None:
    rounds.append(task.result())
    open_rounds.discard(task)


class Caller:
    """A polite client: keeps a connection or opens a new one, and asks again where a kept one had been closed."""

    def __init__(self, port: int) -> None:
        self._port, self._idle = port, list[Streams]()

    async def ask(self, sent: bytes, keep: bool, patience_s: float) -> Answer:
        """Raises OSError, of which TimeoutError is one."""
        async with asyncio.timeout(patience_s):
            if keep and self._idle:
                with contextlib.suppress(ConnectionError):  # closed while it was idle, as every server may
                    return await self._exchange(self._idle.pop(), sent, keep)
            return await self._exchange(await connect(self._port, patience_s), sent, keep)

    async def _exchange(self, streams: Streams, sent: bytes, keep: bool) -> Answer:
        reader, writer = streams
        received, done = b"", False
        try:
            writer.write(sent)
            while not (answers := parse(received)[0]):
                if not (chunk := await reader.read(65536)):
                    raise ConnectionError("closed without an answer")
                received += chunk
            done = keep and b"connection: close" not in answers[0].head.lower()
            return answers[0]
        finally:
            if done and len(self._idle) < _KEPT:
                self._idle.append(streams)
            else:
                writer.transport.abort()


async def timed(asking: Awaitable[str]) -> Round:
    """Seconds and outcome; what the network says instead of an answer goes by its exception's name."""
    started_at = time.monotonic()
    try:
        outcome = await asking
    except OSError as error:
        outcome = type(error).__name__
    return Round(time.monotonic() - started_at, outcome)
