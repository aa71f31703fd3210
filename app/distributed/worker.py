"""Owns one worker: a process somewhere with a Classifier of its own, to which shards come; does not know Ray."""

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from app.bootstrap import open_classifier
from app.classifier import Classifier
from app.distributed.answers import answer_images
from app.distributed.images import images_of
from app.distributed.places import place
from app.distributed.plan import Shard
from app.distributed.store import Outcome, Store
from app.errors import EngineFailed, SetupError, VitServeError, printable
from app.settings import Settings
from app.version import VERSION

logger = logging.getLogger(__name__)
_READERS: Final = 32  # a store answers after tens of milliseconds, whatever its throughput
_FAILED: Final = 70  # exit code of a worker whose device has failed: another process takes its shard
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers of a run are told: settings by name; the weights' digest; where rows go."""

    settings: dict[str, Any]
    sha256: str
    top_k: int
    image_column: str
    out: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What a node says about a model before the work begins; `error`: why it has none."""

    name: str = ""
    sha256: str = ""
    classes: int = 0
    top_k: int = 0
    notice: str | None = None
    version: str = VERSION
    error: str | None = None


def look(settings: dict[str, Any], top_k: int | None) -> Looked:
    """Opens the model, to tell about it in one line rather than by a worker's end."""

    async def opened() -> Looked:
        async with open_classifier(Settings(**settings)) as classifier:
            info = classifier.info
            checked = classifier.check_top_k(top_k)
            await classifier.ready()
            return Looked(info.name, info.sha256 or "", len(info.labels), checked, info.notice)

    try:
        return asyncio.run(opened())
    except VitServeError as error:
        return Looked(error=str(error))


class Worker:
    """Takes shards, several at a time from several threads; all share the Classifier and its event loop."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._store = Store(place(job.out))
        self._threads = ThreadPoolExecutor(_READERS, "read")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="classifier", daemon=True).start()
        self._stack = AsyncExitStack()
        self._classifier: Classifier | None = None

    def open(self) -> str | None:
        """Loads the model, before all else; returns why it cannot work here, or None."""
        try:
            self._store.run()  # whether this node sees the folder that rows go to
            self._classifier = self._in_loop(self._open()).result()
        except VitServeError as error:
            return str(error)
        return None

    def do(self, text: str) -> Outcome:
        """What became of the shard, given as JSON; what another worker has left whole before its end, stays.

        Raises SetupError where this node does not see the images, and OSError where it cannot write.
        """
        shard = Shard.from_json(text)
        if there := self._store.outcome(shard.name):
            return there
        assert self._classifier is not None  # it was opened
        _check_seen(shard)
        images = images_of(shard, self._job.image_column)
        try:
            rows = self._in_loop(answer_images(self._classifier, images, self._job.top_k, self._threads)).result()
        except EngineFailed:
            logger.critical("the device has failed; this worker ends, another takes its shards")
            os._exit(_FAILED)
        return self._store.write(shard.name, rows)

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self) -> Classifier:
        classifier = await self._stack.enter_async_context(open_classifier(Settings(**self._job.settings)))
        if (classifier.info.sha256 or "") != self._job.sha256:
            raise SetupError(
                f"the nodes have different weights by the name {self._job.settings.get('model', '')!r}: "
                f"{classifier.info.sha256} here, {self._job.sha256} elsewhere; name a revision, or a folder all see"
            )
        await classifier.ready()
        return classifier


def _check_seen(shard: Shard) -> None:
    """Images of a folder that only some nodes have would else be rows without answers. Raises SetupError."""
    folders = {os.path.dirname(image.path) for image in map(place, shard.urls) if image.is_local}
    if folders and not any(map(os.path.isdir, folders)):
        raise SetupError(
            f"{printable(min(folders))}: a node does not see this folder; images must lie where every node sees them"
        )
