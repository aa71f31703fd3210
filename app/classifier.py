"""Owns what is asked of one image and what is said of it: classes, logits, insights; does not know HTTP."""

from dataclasses import dataclass
from typing import Final

from app.domain import (
    Classification,
    Confidence,
    Embedding,
    ExplainingMethod,
    Explanation,
    Logits,
    ModelInfo,
    Prediction,
    Timing,
)
from app.engine.client import EngineClient, Observer, Outcome
from app.engine.slots import SlotPool
from app.errors import InvalidTopK, Overloaded
from app.image_path import Encoded as Encoded
from app.image_path import ImagePath, PathConfig
from app.image_path import Picture as Picture
from app.imaging.pool import DecodePool, Examined
from app.imaging.price import DecodeLimits
from app.inside import Inside, InsideConfig
from app.scheduling.policy import is_short

_DEFAULT_TOP_K: Final = 5
_ALL_LOGITS: Final = 0


@dataclass(frozen=True, slots=True)
class ClassifierConfig(PathConfig):
    """`max_top_k`: classes that may be asked for."""

    max_top_k: int = 100


class Classifier(ImagePath):
    """Classifies images with one model; the same object serves HTTP, the command line and a notebook.

    Any number of calls may run concurrently on one event loop; together they are bounded by the slots.
    """

    _config: ClassifierConfig

    def __init__(
        self,
        info: ModelInfo,
        engine: EngineClient,
        decoders: DecodePool,
        slots: SlotPool,
        config: ClassifierConfig,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(engine, decoders, slots, config, observer)
        self.info = info
        # Nothing, until somebody knows the engine's interior.
        self.inside = Inside(info, None, InsideConfig(DecodeLimits()), self.check_calm, self.idle_s)

    def check_top_k(self, top_k: int | None) -> int:
        """`top_k`, or its default. Raises InvalidTopK unless 1 ≤ top_k ≤ number of classes, or over the limit."""
        classes, limit = len(self.info.labels), self._config.max_top_k
        if top_k is None:
            return min(_DEFAULT_TOP_K, classes, limit)
        if not 1 <= top_k <= min(classes, limit):
            raise InvalidTopK(f"top_k is {top_k}; this model has {classes} classes, and {limit} may be asked for")
        return top_k

    def check_calm(self) -> None:
        """Raises what `check_admission` does already where images wait, but not long: for what can wait itself."""
        self._check_status()
        if not is_short(self.expected_wait_s, self._config.admission):
            raise Overloaded("images to be classified go first; this one was not taken", self.expected_wait_s)

    async def classify(
        self,
        data: Picture,
        *,
        top_k: int | None = None,
        timeout_s: float | None = None,
        patient: bool = False,
        examined: Examined | None = None,
    ) -> Classification:
        """The best `top_k` classes, by default 5 or all there are, of one image of a format that `imaging` reads.

        `patient`: where there is no room now, waits for some within the timeout. `examined`: what `examine` said.
        Raises InvalidTopK, Overloaded, NotReady, Draining, EngineFailed, DeadlineExceeded, InferenceFailed, or what
        decoding raises: EmptyBody, NotAnImage, CorruptImage, TooManyPixels. If the caller is cancelled, so is the work.
        """
        limit = self.check_top_k(top_k)
        return self._classification(*await self._timed(data, limit, timeout_s, patient, examined))

    async def logits(
        self,
        data: Picture,
        *,
        timeout_s: float | None = None,
        patient: bool = False,
        examined: Examined | None = None,
    ) -> Logits:
        """What the network says of every class, before any activation; in all else as `classify`."""
        answer, timing = await self._timed(data, _ALL_LOGITS, timeout_s, patient, examined)
        return Logits(tuple(answer.scores.scores), timing, answer.batch_size, answer.batch_id)

    async def embed(self, data: Picture, *, timeout_s: float | None = None) -> Embedding:
        """What the head of the network reads of one image: its class token, or the mean of its tokens.

        Raises NotSupported, and what `classify` does. Goes last where images are classified, as `explain` does.
        """
        return await self.inside.embed(data, timeout_s=timeout_s)

    async def explain(
        self,
        data: Picture,
        method: ExplainingMethod = "rollout",
        *,
        layer: int | None = None,
        index: int | None = None,
        timeout_s: float | None = None,
    ) -> Explanation:
        """Where the network looks in one image: see `Explanation`; `layer`: for "attention", by default the last.

        `index`: the class for "gradient", by default the best. Raises NotSupported where this model in this engine has
        none, InvalidParameter, and what `classify` does.
        """
        look = await self.inside.check_look(method, layer, index)
        return await self.inside.explain(look, data, timeout_s=timeout_s)

    def _classification(self, answer: Outcome, timing: Timing) -> Classification:
        predictions = self.info.predictions(answer.scores.scores, answer.scores.indices)
        if (confidence := self._confidence(predictions)) is not None:
            self._observer.answer(confidence)
        return Classification(
            *(self.info.name, predictions, timing, answer.batch_size),
            *(confidence, self.info.notice, self.info.activation, answer.batch_id),
        )

    def _confidence(self, predictions: tuple[Prediction, ...]) -> Confidence | None:
        if self.info.threshold is None:
            return None
        return "high" if predictions[0].score >= self.info.threshold else "low"
