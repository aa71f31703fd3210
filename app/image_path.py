"""Owns the path of one image: admission → decode → submit → await → Outcome; does not know what is asked of it.

One is the classifier's; embeddings and explanations, where somebody asks for them, have their own.
"""

import asyncio
import itertools
import math
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from app.domain import Timing
from app.engine.client import EngineClient, NullObserver, Observer, Outcome, Status
from app.engine.slots import SlotPool
from app.errors import DeadlineExceeded, Draining, EngineFailed, MalformedRequest, NotReady, Overloaded
from app.imaging.decode import Pixels
from app.imaging.pool import DecodePool, Examined
from app.imaging.price import Price
from app.scheduling.job import Job
from app.scheduling.policy import AdmissionPolicy, admit, expected_wait_s, is_short
from app.scheduling.room import RoomQueue

LEAST_TIMEOUT_S: Final = 1e-6  # still a number of seconds, where 0 would mean none
Encoded = bytes | bytearray
Picture = Encoded | Pixels  # a file, or what the network sees: uint8 (height, width, 3)


@dataclass(frozen=True, slots=True)
class PathConfig:
    """`request_timeout_s` holds for requests that name no timeout and is the ceiling of those that do."""

    admission: AdmissionPolicy
    request_timeout_s: float = 30.0


class ImagePath:
    """Any number of images may be on it, concurrently on one event loop; together they are bounded by the slots."""

    def __init__(
        self,
        engine: EngineClient,
        decoders: DecodePool,
        slots: SlotPool,
        config: PathConfig,
        observer: Observer | None = None,
    ) -> None:
        self._engine, self._decoders, self._slots, self._config = engine, decoders, slots, config
        self._observer = observer or NullObserver()
        self._ids = itertools.count()
        self._draining = False
        self.closes_at: float | None = None  # on the monotonic clock
        self._short_at = -math.inf  # when the queue was last short
        self._left_at = -math.inf  # when an image was last answered
        self._waiting = RoomQueue()
        slots.on_release = self._waiting.room

    @property
    def status(self) -> Status:
        """Whether new images are taken (READY), not yet (STARTING), no more (DRAINING) or never again (FAILED)."""
        engine = self._engine.status()
        return Status.DRAINING if self._draining and engine is Status.READY else engine

    @property
    def queue_depth(self) -> int:
        """Images waiting for the device."""
        return self._engine.queue_depth

    @property
    def slots_in_use(self) -> int:
        """Images between admission and answer."""
        return self._slots.in_use

    def idle_s(self) -> float:
        """Seconds since the last image was answered; 0 while there are some between admission and answer."""
        return 0.0 if self._slots.in_use else time.monotonic() - self._left_at

    @property
    def slots(self) -> int:
        """Images that may be between admission and answer."""
        return len(self._slots.pixels)

    async def ready(self) -> None:
        """Returns once the model is warmed up. Raises what the warm-up raised."""
        await self._engine.ready()

    @property
    def decoders(self) -> DecodePool:
        """Who decodes, for those who measure it."""
        return self._decoders

    @property
    def images_per_s(self) -> float:
        """What leaves under load, as measured: the slower of decoding and the network; 0 before the first."""
        return 1 / self._seconds_per_image if self._seconds_per_image else 0.0

    @property
    def expected_wait_s(self) -> float:
        """Seconds until everything now inside has been answered, at the measured rate."""
        return expected_wait_s(self._slots.in_use, self._seconds_per_image)

    def drain(self, timeout_s: float | None = None) -> None:
        """Tells the world by `status` that the end is near; images are still taken until the doors close.

        `timeout_s`: when all must be over, closing included; the first such call counts.
        """
        self._draining = True
        if timeout_s is not None and self.closes_at is None:
            self.closes_at = time.monotonic() + timeout_s

    def check_admission(self, timeout_s: float | None = None) -> None:
        """Raises Overloaded, NotReady, Draining or EngineFailed if an image sent now would be refused.

        Costs nothing, so that a refusal can come before the body is read.
        """
        self._check_status()
        if (retry_after_s := self._retry_after(timeout_s or self._config.request_timeout_s)) is not None:
            raise _overloaded(retry_after_s)

    def examine(self, data: Picture) -> Examined:
        """What decoding would cost, by the header alone; nothing for pixels.

        Raises EmptyBody, NotAnImage, CorruptImage, TooManyPixels; MalformedRequest for pixels of another size.
        """
        if isinstance(data, bytes | bytearray):
            return self._decoders.examine(data)
        if data.shape != (takes := self._slots.pixels.shape[1:]):
            raise MalformedRequest(f"pixels of shape {data.shape}; the model takes {takes}: height, width, channels")
        return Examined(data.shape[0] * data.shape[1], Price(0.0, 0))

    async def _timed(
        self, data: Picture, asked: Any, timeout_s: float | None, patient: bool, examined: Examined | None
    ) -> tuple[Outcome, Timing]:
        """One image's way from admission to answer."""
        arrived_at = time.monotonic()
        timeout_s = min(timeout_s or self._config.request_timeout_s, self._config.request_timeout_s)
        cost = (examined or self.examine(data)).price
        try:
            async with asyncio.timeout(timeout_s):
                slot = await self._admit(cost, timeout_s, patient)
                answer, decoded_at = await self._answer(data, cost, slot, asked, (arrived_at, arrived_at + timeout_s))
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer within {timeout_s * 1000:.0f} ms") from error
        return answer, Timing(
            decode_ms=(decoded_at - arrived_at) * 1000,
            queue_ms=answer.queue_s * 1000,
            inference_ms=answer.inference_s * 1000,
            total_ms=(time.monotonic() - arrived_at) * 1000,
        )

    async def _admit(self, cost: Price, timeout_s: float, patient: bool) -> int:
        """A slot. Raises what `check_admission` raises, and DeadlineExceeded where decoding alone takes longer."""
        if cost.seconds > timeout_s:
            raise DeadlineExceeded(f"decoding takes {cost.seconds:.1f} s, longer than {timeout_s * 1000:.0f} ms")

        def take() -> int:
            self._check_status()
            retry_after_s = self._retry_after(timeout_s, self._decoders.wait_s(cost))
            if retry_after_s is None and (slot := self._slots.take()) is not None:
                return slot
            raise _overloaded(retry_after_s or self.expected_wait_s)

        return await self._waiting.until(take) if patient else take()

    async def _answer(
        self, data: Picture, cost: Price, slot: int, asked: Any, span: tuple[float, float]
    ) -> tuple[Outcome, float]:
        """What becomes of an admitted image, and when it was decoded; counted, whatever it is.

        `span`: when it arrived, and by when there must be an answer.
        """
        outcome, (arrived_at, until) = "cancelled", span
        try:
            await self._decode(data, cost, slot)
            decoded_at = time.monotonic()
            self._observer.stage("decode", decoded_at - arrived_at)
            answer = await self._engine.submit(self._job(asked, slot, until))
            outcome = "result"
            return answer, decoded_at
        except asyncio.CancelledError:
            if time.monotonic() >= until:
                outcome = "error"
            raise
        except Exception:
            outcome = "error"
            raise
        finally:
            self._left_at = time.monotonic()
            self._observer.job(outcome)

    def _job(self, asked: Any, slot: int, until: float) -> Job:
        """The ticket of an image whose pixels are in the slot; `asked` is here the number of classes, 0: all logits."""
        return Job(next(self._ids), slot, asked, until)

    async def _decode(self, data: Picture, cost: Price, slot: int) -> None:
        """Fills the slot. It stays taken on success; else it is released once no decoder can write to it any more."""
        if not isinstance(data, bytes | bytearray):
            self._slots.pixels[slot] = data
            return
        decoding: Future[None] = self._decoders.submit(data, cost, self._slots.pixels[slot])
        try:
            await asyncio.wrap_future(decoding)
        except BaseException:
            decoding.add_done_callback(lambda _: self._slots.release(slot))
            raise

    def _check_status(self) -> None:
        match self._engine.status():
            case Status.STARTING:
                raise NotReady("the model is warming up")
            case Status.DRAINING:
                raise Draining("the service is shutting down")
            case Status.FAILED:
                raise EngineFailed("the engine has failed or is stuck; see the log")

    @property
    def _seconds_per_image(self) -> float:
        """How often an image leaves under load: what is slower, decoding or the network, sets the pace."""
        return max(self._engine.seconds_per_image, self._decoders.seconds_per_image)

    def _retry_after(self, timeout_s: float, decode_wait_s: float = 0.0) -> float | None:
        policy, now = self._config.admission, time.monotonic()
        if is_short(self.expected_wait_s, policy):
            self._short_at = now
        calm = now - self._short_at <= policy.calm_s
        return admit(self._slots.in_use, self._seconds_per_image, timeout_s, policy, decode_wait_s, calm)


def _overloaded(retry_after_s: float) -> Overloaded:
    return Overloaded("too many images are waiting; this one was not taken", retry_after_s)
