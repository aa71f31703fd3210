"""Owns the path of one image: admission → decode → submit → await → Classification; does not know HTTP."""

import asyncio
import itertools
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from app.domain import Classification, Confidence, ModelInfo, Prediction, Timing
from app.engine.client import EngineClient, NullObserver, Observer, Outcome, Status
from app.engine.slots import SlotPool
from app.errors import DeadlineExceeded, Draining, InferenceFailed, InvalidTopK, NotReady, Overloaded
from app.imaging.pool import DecodePool
from app.scheduling.job import Job
from app.scheduling.policy import AdmissionPolicy, admit, expected_wait_s

_DEFAULT_TOP_K: Final = 5


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """`request_timeout_s` holds for requests that name no timeout and is the ceiling of those that do."""

    admission: AdmissionPolicy
    request_timeout_s: float = 30.0


class Classifier:
    """Classifies images with one model; the same object serves HTTP, the command line and a notebook.

    Any number of calls may run concurrently on one event loop; together they are bounded by the slots.
    """

    def __init__(
        self,
        info: ModelInfo,
        engine: EngineClient,
        decoders: DecodePool,
        slots: SlotPool,
        config: ClassifierConfig,
        observer: Observer | None = None,
    ) -> None:
        self.info = info
        self._engine, self._decoders, self._slots, self._config = engine, decoders, slots, config
        self._observer = observer or NullObserver()
        self._ids = itertools.count()
        self._draining = False

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

    async def ready(self) -> None:
        """Returns once the model is warmed up. Raises what the warm-up raised."""
        await self._engine.ready()

    def drain(self) -> None:
        """Tells the world by `status` that the end is near; images are still taken until the doors close."""
        self._draining = True

    def check_admission(self, timeout_s: float | None = None) -> None:
        """Raises Overloaded, NotReady, Draining or InferenceFailed if an image sent now would be refused.

        Costs nothing, so that a refusal can come before the body is read.
        """
        self._check_status()
        if (retry_after_s := self._retry_after(timeout_s)) is not None:
            raise _overloaded(retry_after_s)

    def check_top_k(self, top_k: int | None) -> int:
        """`top_k`, or its default. Raises InvalidTopK unless 1 ≤ top_k ≤ number of classes."""
        if top_k is None:
            return min(_DEFAULT_TOP_K, len(self.info.labels))
        if not 1 <= top_k <= len(self.info.labels):
            raise InvalidTopK(f"top_k is {top_k}; this model has {len(self.info.labels)} classes, so 1 … that many")
        return top_k

    async def classify(
        self, data: bytes, *, top_k: int | None = None, timeout_s: float | None = None
    ) -> Classification:
        """The best `top_k` classes, by default 5 or all there are, of one JPEG, PNG, WebP, GIF, BMP or TIFF.

        Raises InvalidTopK, Overloaded, NotReady, Draining, DeadlineExceeded, InferenceFailed, or what decoding
        raises: EmptyBody, NotAnImage, CorruptImage, TooManyPixels. If the caller is cancelled, so is the work.
        """
        top_k = self.check_top_k(top_k)
        arrived_at = time.monotonic()
        timeout_s = min(timeout_s or self._config.request_timeout_s, self._config.request_timeout_s)
        self.check_admission(timeout_s)
        if (slot := self._slots.take()) is None:
            raise _overloaded(self._expected_wait_s())
        outcome = "cancelled"
        try:
            async with asyncio.timeout(timeout_s):
                await self._decode(data, slot)
                decoded_at = time.monotonic()
                self._observer.stage("decode", decoded_at - arrived_at)
                job = Job(next(self._ids), slot, top_k, arrived_at + timeout_s)
                answer = await self._engine.submit(job)
            outcome = "result"
            return self._classification(answer, arrived_at, decoded_at)
        except TimeoutError as error:
            outcome = "error"
            raise DeadlineExceeded(f"no answer within {timeout_s * 1000:.0f} ms") from error
        except Exception:
            outcome = "error"
            raise
        finally:
            self._observer.job(outcome)

    async def _decode(self, data: bytes, slot: int) -> None:
        """Fills the slot. It stays taken on success; else it is released once no decoder can write to it any more."""
        decoding: Future[None] = self._decoders.submit(data, self._slots.pixels[slot])
        try:
            await asyncio.wrap_future(decoding)
        except BaseException:
            decoding.add_done_callback(lambda _: self._slots.release(slot))
            raise

    def _classification(self, answer: Outcome, arrived_at: float, decoded_at: float) -> Classification:
        labels, ids = self.info.labels, self.info.label_ids
        predictions = tuple(
            Prediction(labels[index], index, score, ids[index] if ids else None)
            for score, index in zip(answer.scores.scores, answer.scores.indices, strict=True)
        )
        timing = Timing(
            decode_ms=(decoded_at - arrived_at) * 1000,
            queue_ms=answer.queue_s * 1000,
            inference_ms=answer.inference_s * 1000,
            total_ms=(time.monotonic() - arrived_at) * 1000,
        )
        if (confidence := self._confidence(predictions)) is not None:
            self._observer.answer(confidence)
        return Classification(self.info.name, predictions, timing, answer.batch_size, confidence, self.info.notice)

    def _confidence(self, predictions: tuple[Prediction, ...]) -> Confidence | None:
        if self.info.threshold is None:
            return None
        return "high" if predictions[0].score >= self.info.threshold else "low"

    def _check_status(self) -> None:
        match self._engine.status():
            case Status.STARTING:
                raise NotReady("the model is warming up")
            case Status.DRAINING:
                raise Draining("the service is shutting down")
            case Status.FAILED:
                raise InferenceFailed("the engine has failed or is stuck; see the log")

    @property
    def _seconds_per_image(self) -> float:
        """How often an image leaves under load: what is slower, decoding or the network, sets the pace."""
        return max(self._engine.seconds_per_image, self._decoders.seconds_per_image)

    def _expected_wait_s(self) -> float:
        return expected_wait_s(self._slots.in_use, self._seconds_per_image)

    def _retry_after(self, timeout_s: float | None) -> float | None:
        timeout_s = timeout_s or self._config.request_timeout_s
        return admit(self._slots.in_use, self._seconds_per_image, timeout_s, self._config.admission)


def _overloaded(retry_after_s: float) -> Overloaded:
    return Overloaded("too many images are waiting; this one was not taken", retry_after_s)
