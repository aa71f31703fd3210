"""Owns the paths of embeddings and explanations, apart from that of classes; does not know HTTP or an engine.

Each path has a few slots, a queue, decoders and lanes of its own, of low priority, and is made when somebody first
asks: who never does pays nothing for it. Classes go first: at the door, before each batch, and in the operating system.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from app.domain import Capabilities, Embedding, ExplainingMethod, Explanation, ModelInfo, Timing
from app.engine.client import EngineConfig, NullObserver, Observer, Outcome
from app.engine.engine import Engine
from app.engine.interior import Interior, Look
from app.engine.nice import LAST
from app.engine.runners.best import best_classes
from app.engine.slots import SlotPool
from app.errors import DeadlineExceeded, InferenceFailed, InvalidParameter, NotSupported, Overloaded, VitServeError
from app.image_path import LEAST_TIMEOUT_S, ImagePath, PathConfig, Picture
from app.imaging.decode import Pixels
from app.imaging.pool import DecodePool, Examined
from app.imaging.price import DecodeLimits
from app.scheduling.job import Job
from app.scheduling.policy import AdmissionPolicy, BatchPolicy, Plan
from app.scheduling.scheduler import Scheduler

Kind = Literal["embeddings", "explanations"]
_SLOTS: Final[dict[Kind, int]] = {"embeddings": 32, "explanations": 8}
_PLACES: Final[dict[Kind, int]] = {"embeddings": 16, "explanations": 8}  # requests at once, their bodies in memory
_PREDICTIONS: Final = 5
_YIELD_S: Final = 0.25
_CALM_S: Final = 0.01
_PAUSE_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class InsideConfig:
    """As the classifier's, of the same names."""

    limits: DecodeLimits
    request_timeout_s: float = 30.0
    engine: EngineConfig = EngineConfig()


@dataclass(slots=True)
class _Asked:
    """What is asked of one image, and what of it is kept beyond its slot."""

    look: Look | None = None
    seen: Pixels | None = None


class _Path(ImagePath):
    """The slot also holds what is to be seen of its image, for the runner."""

    def __init__(self, looks: list[Look | None], *parts: Any) -> None:
        super().__init__(*parts)
        self._looks = looks

    def _job(self, asked: _Asked, slot: int, until: float) -> Job:
        if asked.look is not None:
            self._looks[slot] = asked.look
            asked.seen = self._slots.pixels[slot].copy()
        return super()._job(0, slot, until)

    async def numbers(self, data: Picture, asked: _Asked, *when: Any) -> tuple[Outcome, Timing]:
        """What the runner says of one image."""
        return await self._timed(data, asked, *when)

    async def aclose(self, until: float) -> None:
        await self._engine.aclose(until)
        await asyncio.to_thread(self._decoders.close, until)


class _Yielding(Scheduler):
    """A lane that has its batch waits until for a moment no images to be classified were inside.

    Where no such moment comes for long it goes on all the same: a batch now and then is not in their way.
    """

    def __init__(self, policy: BatchPolicy, idle_s: Callable[[], float]) -> None:
        super().__init__(policy)
        self._idle_s = idle_s

    def next_batch(self) -> Plan | None:
        """Blocks as the queue does, and then for that moment."""
        cut = super().next_batch()
        until = time.monotonic() + _YIELD_S
        while cut is not None and cut.run and self._idle_s() < _CALM_S and time.monotonic() < until:
            time.sleep(_PAUSE_S)
        return cut


class _Told:
    """An observer that keeps these paths' times apart from the classifier's, and its batches to itself."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.job, self.split, self.answer = observer.job, observer.split, observer.answer

    def stage(self, name: str, seconds: float) -> None:
        """Under a name of its own."""
        self._observer.stage(f"inside_{name}", seconds)

    def batch(self, size: int, seconds: float) -> None:
        """Ignores it."""


class Inside:
    """What the model tells beside its classes. Any number of calls may run concurrently on one event loop."""

    def __init__(
        self,
        info: ModelInfo,
        interior: Interior | None,
        config: InsideConfig,
        door: Callable[[], None],
        idle_s: Callable[[], float],
        observer: Observer | None = None,
    ) -> None:
        """`door` raises Unavailable while the classifier takes no images, or is so busy that others are to wait.

        `idle_s`: since when it has had none inside; asked in any thread.
        """
        self._info, self._interior, self._config, self._door, self._idle_s = info, interior, config, door, idle_s
        self._observer = _Told(observer or NullObserver())
        self._paths: dict[Kind, asyncio.Task[_Path]] = {}
        self._found: asyncio.Task[tuple[Capabilities, dict[Kind, str]]] | None = None
        self._inside = Counter[Kind]()

    @contextmanager
    def place(self, kind: Kind) -> Iterator[None]:
        """Room for a request from before its body is read. Raises Overloaded, or whatever the door does."""
        self._door()
        if self._inside[kind] >= _PLACES[kind]:
            raise Overloaded(f"too many requests for {kind} are waiting; this one was not taken")
        self._inside[kind] += 1
        try:
            yield
        finally:
            self._inside[kind] -= 1

    async def capabilities(self) -> Capabilities:
        """What may be asked for; found out, in another thread, when first asked."""
        return (await self._facts())[0]

    async def check(self, kind: Kind) -> Capabilities:
        """The same. Raises NotSupported where there is nothing of that kind."""
        found, reasons = await self._facts()
        if kind in reasons:
            raise NotSupported(reasons[kind])
        return found

    async def check_look(self, method: ExplainingMethod, layer: int | None, index: int | None) -> Look:
        """What a runner is told. Raises NotSupported, and InvalidParameter for a layer or class that means nothing."""
        found = await self.check("explanations")
        if method not in found.methods:
            raise NotSupported(f"{method} needs torch, and this model runs in {self._info.engine}; see VIT_ENGINE")
        if (layer is not None and method != "attention") or (index is not None and method != "gradient"):
            raise InvalidParameter("a layer goes with attention, a class with gradient, and neither with anything else")
        if layer is not None and not 0 <= layer < found.layers:
            raise InvalidParameter(f"layer is {layer}; this model has layers 0 to {found.layers - 1}")
        if index is not None and not 0 <= index < len(self._info.labels):
            raise InvalidParameter(f"class is {index}; this model has classes 0 to {len(self._info.labels) - 1}")
        return Look(method, found.layers - 1 if layer is None else layer, index)

    async def embed(
        self,
        picture: Picture,
        *,
        timeout_s: float | None = None,
        patient: bool = False,
        examined: Examined | None = None,
    ) -> Embedding:
        """What the head of the network reads of one image. Raises NotSupported, and what `Classifier.classify` does."""
        outcome, timing = await self._ask("embeddings", picture, _Asked(), (timeout_s, patient, examined))
        values = np.asarray(outcome.scores.scores, np.float32)
        return Embedding(self._info.name, values, timing, outcome.batch_size, outcome.batch_id)

    async def explain(
        self,
        look: Look,
        picture: Picture,
        *,
        timeout_s: float | None = None,
        patient: bool = False,
        examined: Examined | None = None,
    ) -> Explanation:
        """Where the network looks in one image. Raises what `embed` does."""
        asked, grid = _Asked(look), (await self.check("explanations")).grid
        outcome, timing = await self._ask("explanations", picture, asked, (timeout_s, patient, examined))
        numbers, classes = np.asarray(outcome.scores.scores, np.float32), len(self._info.labels)
        [best] = best_classes(numbers[None, :classes], self._info.scoring, [min(_PREDICTIONS, classes)])
        predictions = self._info.predictions(best.scores, best.indices)
        assert asked.seen is not None and grid is not None  # or there would be no outcome
        return Explanation(
            *(self._info.name, look.method, numbers[classes:].reshape(-1, *grid), asked.seen, predictions),
            *(timing, outcome.batch_size, outcome.batch_id, self._info.activation),
            layer=look.layer if look.method == "attention" else None,
            index=(predictions[0].index if look.index is None else look.index) if look.method == "gradient" else None,
        )

    async def aclose(self, until: float) -> None:
        """Finishes what was taken, at the latest at that monotonic instant."""
        for opening in self._paths.values():
            await asyncio.wait([opening], timeout=max(until - time.monotonic(), 0.0))
            if not opening.cancel() and opening.exception() is None:
                await opening.result().aclose(until)

    async def _ask(
        self, kind: Kind, data: Picture, asked: _Asked, when: tuple[float | None, bool, Examined | None]
    ) -> tuple[Outcome, Timing]:
        until_s, patient, examined = when
        until_s = min(until_s or self._config.request_timeout_s, self._config.request_timeout_s)
        started_at = time.monotonic()
        if not patient:
            self._door()
        try:
            async with asyncio.timeout(until_s):
                path = await self._path(kind)
        except TimeoutError as error:
            raise DeadlineExceeded("the time was over before the first of its kind could be computed") from error
        left_s = max(until_s - (time.monotonic() - started_at), LEAST_TIMEOUT_S)
        return await path.numbers(data, asked, left_s, patient, examined)

    async def _path(self, kind: Kind) -> _Path:
        """Made by the first who asks, whose leaving harms nobody; all others wait for it."""
        await self.check(kind)
        if kind not in self._paths:
            self._paths[kind] = asyncio.create_task(self._open(kind))
        opening = self._paths[kind]
        try:
            return await asyncio.shield(opening)
        except VitServeError as error:
            raise type(error)(str(error)) from error
        except Exception as error:
            if self._paths.get(kind) is opening:
                del self._paths[kind]  # a lack of memory may be over when the next one asks
            raise InferenceFailed(f"what computes {kind} could not be made; the log has the cause") from error

    async def _open(self, kind: Kind) -> _Path:
        spec, config, count = self._info.preprocess, self._config, _SLOTS[kind]
        assert self._interior is not None  # or `check` had raised
        slots, looks = SlotPool(count, spec.height, spec.width), list[Look | None]([None] * count)
        if kind == "embeddings":
            runners = await asyncio.to_thread(self._interior.embedders, slots.pixels)
        else:
            runners = await asyncio.to_thread(self._interior.explainers, slots.pixels, looks)
        scheduler = _Yielding(BatchPolicy(runners[0].max_batch_size, count), self._idle_s)
        engine = Engine(runners, scheduler, slots, config.engine, self._observer)
        decoders = DecodePool(len(runners), spec, config.limits, LAST)
        path_config = PathConfig(AdmissionPolicy(config.request_timeout_s, count), config.request_timeout_s)
        engine.start()
        try:
            await engine.ready()
        except BaseException:
            await engine.aclose(time.monotonic())
            decoders.close(time.monotonic())
            raise
        return _Path(looks, engine, decoders, slots, path_config, self._observer)

    async def _facts(self) -> tuple[Capabilities, dict[Kind, str]]:
        if self._found is None:
            self._found = asyncio.create_task(asyncio.to_thread(self._look_inside))
        return await asyncio.shield(self._found)

    def _look_inside(self) -> tuple[Capabilities, dict[Kind, str]]:
        """And why there is nothing of a kind."""
        if self._interior is None:
            reason = "this model, or this service, gives neither embeddings nor explanations"
            return Capabilities(None), {"embeddings": reason, "explanations": reason}
        reasons, width, sight = dict[Kind, str](), None, None
        try:
            width = self._interior.width()
        except NotSupported as error:
            reasons["embeddings"] = str(error)
        try:
            sight = self._interior.sight()
        except NotSupported as error:
            reasons["explanations"] = str(error)
        if sight is None:
            return Capabilities(width), reasons
        return Capabilities(width, sight.methods, sight.grid, sight.layers, sight.heads), reasons
