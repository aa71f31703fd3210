import asyncio
import io
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from app.classifier import Classifier, ClassifierConfig
from app.domain import ModelInfo, PreprocessSpec
from app.engine.client import EngineConfig, Scores
from app.engine.engine import Engine
from app.engine.slots import SlotPool
from app.errors import (
    CorruptImage,
    DeadlineExceeded,
    Draining,
    EmptyBody,
    InvalidTopK,
    NotAnImage,
    NotReady,
    Overloaded,
)
from app.imaging.pool import DecodePool
from app.imaging.price import DecodeLimits
from app.imaging.resample import preprocess
from app.pace import Pace
from app.scheduling.policy import AdmissionPolicy, BatchPolicy
from app.scheduling.scheduler import Scheduler
from tests.engine.test_engine import until
from tests.fakes import EchoRunner, RecordingObserver

SPEC = PreprocessSpec(4, 4, crop_pct=1.0)


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


class ReadingRunner(EchoRunner):
    """Answers with the value of the pixels in the slot: whose picture it was."""

    def __init__(self, slots: SlotPool) -> None:
        super().__init__()
        self._pixels = slots.pixels

    def run(self, slots: Any, top_ks: Any, alone: bool) -> list[Scores]:
        super().run(slots, top_ks, alone)
        values = [int(self._pixels[slot][0, 0, 0]) for slot in slots]
        return [
            Scores([0.5] * k, [value] * k) if k else Scores([float(value), 1.0, 2.0], [])
            for value, k in zip(values, top_ks, strict=True)
        ]


class Place:
    def __init__(self, slots: int, max_wait_s: float, always_admit: int) -> None:
        self.slots = SlotPool(slots, 4, 4)
        self.runner = ReadingRunner(self.slots)
        self.observer = RecordingObserver()
        self.engine = Engine([self.runner], Scheduler(BatchPolicy(8, slots)), self.slots, EngineConfig(), self.observer)
        self.decoders = DecodePool(2, SPEC, DecodeLimits())
        labels = tuple(f"value {i}" for i in range(256))
        info = ModelInfo("m", "v", 1, labels, SPEC, None, "cpu", "float32", notice="made up")
        config = ClassifierConfig(AdmissionPolicy(max_wait_s, always_admit), request_timeout_s=20)
        self.classifier = Classifier(info, self.engine, self.decoders, self.slots, config, self.observer)


@asynccontextmanager
async def place(slots: int = 16, max_wait_s: float = 10, always_admit: int = 64) -> AsyncIterator[Place]:
    made = Place(slots, max_wait_s, always_admit)
    made.engine.start()
    await made.classifier.ready()
    try:
        yield made
    finally:
        made.runner.gate.set()
        await made.engine.aclose()
        made.decoders.close()


def test_an_answer_and_all_that_comes_with_it() -> None:
    async def run() -> None:
        async with place() as p:
            answer = await p.classifier.classify(png(77), top_k=2)
            assert [(x.label, x.index, x.score) for x in answer.predictions] == [("value 77", 77, 0.5)] * 2
            assert (answer.model, answer.notice, answer.batch_size) == ("m", "made up", 1)
            t = answer.timing
            assert min(t.decode_ms, t.queue_ms, t.inference_ms) >= 0
            assert t.total_ms >= t.decode_ms + t.queue_ms + t.inference_ms
            assert p.observer.outcomes == ["result"]
            assert sorted(p.observer.stages) == ["decode", "inference", "queue"]

    asyncio.run(run())


@pytest.mark.parametrize(("threshold", "confidence"), [(None, None), (0.5, "high"), (0.51, "low"), (0.0, "high")])
def test_confidence_is_told_by_the_models_threshold(threshold: float | None, confidence: str | None) -> None:
    async def run() -> None:
        async with place() as p:  # whose scores are all 0.5
            p.classifier.info = replace(p.classifier.info, threshold=threshold)
            assert (await p.classifier.classify(png(1), top_k=2)).confidence == confidence
            assert p.observer.confidences == ([] if confidence is None else [confidence])

    asyncio.run(run())


def test_hundreds_at_once_each_get_their_own() -> None:
    async def run() -> None:
        async with place(slots=256) as p:
            answers = await asyncio.gather(*(p.classifier.classify(png(i), top_k=1) for i in range(256)))
            assert [a.predictions[0].index for a in answers] == list(range(256))
            assert p.slots.in_use == 0
            assert p.observer.outcomes.count("result") == 256

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "error"), [(b"", EmptyBody), (b"no picture", NotAnImage), (png(5)[:-30], CorruptImage)]
)
def test_a_bad_picture_costs_nothing(data: bytes, error: type[Exception]) -> None:
    async def run() -> None:
        async with place() as p:
            good = asyncio.create_task(p.classifier.classify(png(1), top_k=1))
            with pytest.raises(error):
                await p.classifier.classify(data)
            assert (await good).predictions[0].index == 1
            await until(lambda: p.slots.in_use == 0)
            admitted = ["error", "result"] if error is CorruptImage else ["result"]  # the others by their header
            assert sorted(p.observer.outcomes) == admitted

    asyncio.run(run())


@pytest.mark.parametrize("top_k", [0, -1, 101, 257])
def test_top_k_out_of_range(top_k: int) -> None:
    async def run() -> None:
        async with place() as p:
            with pytest.raises(InvalidTopK, match="256"):
                await p.classifier.classify(png(1), top_k=top_k)
            assert p.observer.outcomes == []  # it was never admitted

    asyncio.run(run())


async def fill(p: Place, count: int) -> list["asyncio.Task[Any]"]:
    """Stops the runner and lets `count` images in."""
    p.runner.gate.clear()
    tasks = [asyncio.create_task(p.classifier.classify(png(i), top_k=1)) for i in range(count)]
    await until(lambda: p.slots.in_use == count)
    return tasks


def test_without_a_slot_the_answer_is_at_once_and_honest() -> None:
    async def run() -> None:
        async with place(slots=4) as p:
            tasks = await fill(p, 4)
            with pytest.raises(Overloaded):
                await asyncio.wait_for(p.classifier.classify(png(9)), 1)
            p.runner.gate.set()
            assert [(await t).predictions[0].index for t in tasks] == [0, 1, 2, 3]
            assert (await p.classifier.classify(png(9), top_k=1)).predictions[0].index == 9

    asyncio.run(run())


@pytest.mark.parametrize("slower", ["engine", "decoders"])
def test_a_wait_too_long_is_refused_with_the_time_to_come_back(slower: str) -> None:
    async def run() -> None:
        async with place(max_wait_s=0.5, always_admit=2) as p:
            tasks = await fill(p, 3)
            await until(lambda: sum(map(len, p.runner.batches)) + p.engine.queue_depth == 3)  # all are decoded
            pace = getattr(p, slower)._pace = Pace(1)
            pace.add(1, 0.2)
            with pytest.raises(Overloaded) as caught:
                p.classifier.check_admission()
            assert caught.value.retry_after_s == pytest.approx(0.1)
            with pytest.raises(Overloaded) as caught:
                await p.classifier.classify(png(9))
            assert caught.value.retry_after_s == pytest.approx(0.1)
            p.runner.gate.set()
            await asyncio.gather(*tasks)

    asyncio.run(run())


def test_deadline_in_the_queue_is_answered_at_once() -> None:
    async def run() -> None:
        async with place() as p:
            tasks = await fill(p, 1)
            with pytest.raises(DeadlineExceeded):
                await asyncio.wait_for(p.classifier.classify(png(2), timeout_s=0.05), 2)
            p.runner.gate.set()
            await asyncio.gather(*tasks)
            await until(lambda: p.slots.in_use == 0)
            assert sorted(p.observer.outcomes) == ["error", "result"]

    asyncio.run(run())


def slow_decoder(p: Place, hold: threading.Event, started: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*given: Any) -> None:
        started.set()
        assert hold.wait(10)
        preprocess(*given)

    monkeypatch.setattr("app.imaging.pool.preprocess", decode)


def test_a_slot_stays_taken_while_a_decoder_may_still_write_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with place(slots=1) as p:
            hold, started = threading.Event(), threading.Event()
            slow_decoder(p, hold, started, monkeypatch)
            leaving = asyncio.create_task(p.classifier.classify(png(3)))
            await until(started.is_set)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert p.slots.in_use == 1
            with pytest.raises(Overloaded):
                await p.classifier.classify(png(4))
            hold.set()
            await until(lambda: p.slots.in_use == 0)
            assert p.observer.outcomes == ["cancelled"]
            assert (await p.classifier.classify(png(4), top_k=1)).predictions[0].index == 4

    asyncio.run(run())


def test_deadline_while_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with place() as p:
            hold, started = threading.Event(), threading.Event()
            slow_decoder(p, hold, started, monkeypatch)
            with pytest.raises(DeadlineExceeded):
                await p.classifier.classify(png(3), timeout_s=0.05)
            hold.set()
            await until(lambda: p.slots.in_use == 0)
            assert p.observer.outcomes == ["error"]

    asyncio.run(run())


def status(p: Place) -> str:
    return p.classifier.status.value


def test_refuses_before_and_after_its_life() -> None:
    async def run() -> None:
        p = Place(4, 1, 4)
        hold = threading.Event()
        p.runner.warm_up = lambda: assert_true(hold.wait(10))  # type: ignore[method-assign]
        p.engine.start()
        assert status(p) == "starting"
        with pytest.raises(NotReady):
            await p.classifier.classify(png(1))
        hold.set()
        await p.classifier.ready()
        assert status(p) == "ready"
        p.classifier.drain()
        assert status(p) == "draining"
        await p.classifier.classify(png(1))  # the doors are still open
        await p.engine.aclose()
        with pytest.raises(Draining):
            await p.classifier.classify(png(1))
        p.decoders.close()

    asyncio.run(run())


def assert_true(value: bool) -> None:
    assert value
