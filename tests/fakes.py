"""Owns the stand-ins that several tests share; does not test."""

import threading
from collections.abc import Sequence

from app.engine.client import Scores


class FakeClock:
    """Time that passes only when told."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class EchoRunner:
    """Answers every slot with its own number as the best class; runs only while its gate is open."""

    max_batch_size = 8

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[int]] = []
        self.alone: list[bool] = []

    def warm_up(self) -> None:
        pass

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        self.batches.append(list(slots))
        self.alone.append(alone)
        assert self.gate.wait(10)
        return [Scores([1.0] * top_k, [slot] * top_k) for slot, top_k in zip(slots, top_ks, strict=True)]


class RecordingObserver:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.batches: list[int] = []
        self.splits: list[bool] = []
        self.outcomes: list[str] = []
        self.confidences: list[str] = []

    def stage(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append(name)

    def batch(self, size: int, seconds: float) -> None:
        assert seconds >= 0
        self.batches.append(size)

    def split(self, out_of_memory: bool) -> None:
        self.splits.append(out_of_memory)

    def job(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    def answer(self, confidence: str) -> None:
        self.confidences.append(confidence)
