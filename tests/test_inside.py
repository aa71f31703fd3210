"""Owns the tests of inside.py, with runners whose gates the tests hold."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from app.engine.client import Runner, Scores
from app.engine.interior import Look, Looks, Sight
from app.errors import (
    DeadlineExceeded,
    Draining,
    InferenceFailed,
    InvalidParameter,
    NotSupported,
    Overloaded,
)
from app.graphs.folder import Pixels
from app.imaging.price import DecodeLimits
from app.inside import Inside, InsideConfig
from app.pace import Pace
from tests.engine.test_engine import until
from tests.test_classifier import Place, place, png


class Gated:
    """Says three logits, the value of the pixels, and which layer was asked for; makes and runs only when let."""

    max_batch_size = 2

    def __init__(self, interior: "FakeInterior", pixels: Pixels, looks: Looks | None) -> None:
        self._interior, self._pixels, self._looks = interior, pixels, looks

    def warm_up(self) -> None:
        self._interior.made += 1
        assert self._interior.may_make.wait(10)
        if self._interior.fails:
            raise MemoryError

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        self._interior.batches.append(len(slots))
        assert self._interior.may_run.wait(10)
        return [self._said(slot) for slot in slots]

    def _said(self, slot: int) -> Scores:
        value = float(self._pixels[slot, 0, 0, 0])
        if self._looks is None:
            return Scores(np.array([value, 1, 2], np.float32), [])
        assert (look := self._looks[slot]) is not None
        logits = np.eye(256, dtype=np.float32)[int(value)] * 9
        return Scores(np.concatenate([logits, [value, look.layer]], dtype=np.float32), [])


@dataclass
class FakeInterior:
    """Two patches, one beside the other."""

    sees: bool = True
    fails: bool = False
    made: int = 0
    batches: list[int] = field(default_factory=list)
    may_make: threading.Event = field(default_factory=threading.Event)
    may_run: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_make.set()
        self.may_run.set()

    def width(self) -> int:
        return 3

    def sight(self) -> Sight:
        if not self.sees:
            raise NotSupported("it is blind")
        return Sight((1, 2), 4, 2, ("rollout", "attention"))

    def embedders(self, pixels: Pixels) -> list[Runner]:
        return [Gated(self, pixels, None)]

    def explainers(self, pixels: Pixels, looks: Looks) -> list[Runner]:
        return [Gated(self, pixels, looks)]


@asynccontextmanager
async def inside(interior: FakeInterior | None = None) -> AsyncIterator[tuple[Place, FakeInterior]]:
    interior = interior or FakeInterior()
    async with place() as p:
        config = InsideConfig(DecodeLimits(), request_timeout_s=5)
        made = p.classifier.info, interior, config, p.classifier.check_calm, p.classifier.idle_s, p.observer
        p.classifier.inside = Inside(*made)
        try:
            yield p, interior
        finally:
            interior.may_make.set()
            interior.may_run.set()
            await p.classifier.inside.aclose(asyncio.get_running_loop().time() + 5)


async def test_each_image_gets_its_own_answer() -> None:
    async with inside() as (p, interior):
        embedded = await asyncio.gather(*(p.classifier.embed(png(value)) for value in range(20)))
        assert [each.values.tolist() for each in embedded] == [[value, 1, 2] for value in range(20)]
        looks = [p.classifier.explain(png(value), "attention", layer=value % 4) for value in range(8)]
        explained = await asyncio.gather(*looks)
        assert [each.maps.tolist() for each in explained] == [[[[value, value % 4]]] for value in range(8)]
        assert [each.predictions[0].index for each in explained] == list(range(8))
        assert [int(each.seen[0, 0, 0]) for each in explained] == list(range(8))
        assert max(interior.batches) == 2
        assert p.observer.stages.count("inside_inference") == 28 and "inference" not in p.observer.stages
        assert p.observer.outcomes == ["result"] * 28 and not p.observer.batches


async def test_nothing_is_made_before_somebody_asks_and_then_once() -> None:
    async with inside() as (p, interior):
        threads = threading.active_count()
        await p.classifier.classify(png(1))
        assert (await p.classifier.inside.capabilities()).methods == ("rollout", "attention")
        assert interior.made == 0
        assert not any(thread.name.startswith("decode") for thread in threading.enumerate()[threads:])
        await asyncio.gather(*(p.classifier.embed(png(value)) for value in range(5)))
        assert interior.made == 1
        await p.classifier.explain(png(1))
        assert interior.made == 2


async def test_who_waits_for_the_first_has_no_more_time_than_others() -> None:
    async with inside() as (p, interior):
        interior.may_make.clear()
        patient = asyncio.create_task(p.classifier.embed(png(7)))
        with pytest.raises(DeadlineExceeded):
            await p.classifier.embed(png(1), timeout_s=0.05)
        patient_too = asyncio.create_task(p.classifier.embed(png(8)))
        await until(lambda: interior.made == 1)
        patient_too.cancel()  # whose leaving harms nobody
        assert (await p.classifier.classify(png(3))).predictions[0].index == 3  # nor does the making
        interior.may_make.set()
        assert (await patient).values[0] == 7
        assert interior.made == 1


async def test_what_cannot_be_made_fails_and_is_tried_again() -> None:
    async with inside(FakeInterior(fails=True)) as (p, interior):
        for _ in range(2):
            with pytest.raises(InferenceFailed, match="log"):
                await p.classifier.embed(png(1))
        interior.fails = False
        assert (await p.classifier.embed(png(1))).values[0] == 1
        assert interior.made == 3
        assert (await p.classifier.classify(png(3))).predictions[0].index == 3


async def test_a_flood_waits_for_itself_and_never_for_classes() -> None:
    async with inside() as (p, interior):
        interior.may_run.clear()
        flood = [asyncio.create_task(p.classifier.explain(png(value))) for value in range(30)]
        for value in range(40):
            answer = await asyncio.wait_for(p.classifier.classify(png(value)), 5)
            assert answer.predictions[0].index == value
        assert p.classifier.slots_in_use == 0  # theirs are others
        refused = [each for each in flood if each.done()]
        assert len(refused) == 22 and all(isinstance(each.exception(), Overloaded) for each in refused)
        interior.may_run.set()
        kept = await asyncio.gather(*(each for each in flood if each not in refused))
        assert len(kept) == 8


async def test_while_images_to_be_classified_wait_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with inside() as (p, _):
        monkeypatch.setattr(Pace, "seconds_per_image", property(lambda self: 3.0))  # a quarter of 10 s is short
        p.runner.gate.clear()
        waiting = asyncio.create_task(p.classifier.classify(png(1)))
        await asyncio.sleep(0.01)
        for asked in (p.classifier.embed(png(1)), p.classifier.explain(png(1))):
            with pytest.raises(Overloaded, match="first"):
                await asked
        with pytest.raises(Overloaded), p.classifier.inside.place("explanations"):
            pass
        p.runner.gate.set()
        await waiting
        await p.classifier.embed(png(1))


async def test_batches_wait_for_a_moment_without_images_to_be_classified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.inside._YIELD_S", 20.0)
    async with inside() as (p, interior):
        await p.classifier.embed(png(1))
        p.runner.gate.clear()
        classified = asyncio.create_task(p.classifier.classify(png(2)))
        await until(lambda: p.runner.batches)
        embedded = asyncio.create_task(p.classifier.embed(png(3)))
        await asyncio.sleep(0.1)
        assert interior.batches == [1] and not embedded.done()
        p.runner.gate.set()
        await classified
        answer = await embedded
        assert answer.values[0] == 3 and answer.timing.queue_ms > 90 > answer.timing.inference_ms


async def test_batches_go_on_in_the_end_however_many_images_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.inside._YIELD_S", 0.05)
    async with inside() as (p, _):
        p.runner.gate.clear()
        classified = asyncio.create_task(p.classifier.classify(png(2)))
        await until(lambda: p.runner.batches)
        assert (await p.classifier.embed(png(3))).values[0] == 3
        p.runner.gate.set()
        await classified


async def test_places_are_counted_and_given_back() -> None:
    async with inside() as (p, _):
        room = p.classifier.inside.place
        for _ in range(2):
            held = [room("explanations") for _ in range(8)]
            for each in held:
                each.__enter__()
            with pytest.raises(Overloaded), room("explanations"):
                pass
            with room("embeddings"):  # have their own
                pass
            for each in held:
                each.__exit__(None, None, None)


async def test_what_is_not_there_is_not_promised() -> None:
    async with inside(FakeInterior(sees=False)) as (p, _):
        found = await p.classifier.inside.capabilities()
        assert (found.width, found.methods, found.grid) == (3, (), None)
        with pytest.raises(NotSupported, match="blind"):
            await p.classifier.explain(png(1))
        await p.classifier.embed(png(1))
    async with place() as p:  # as the classifier is made by itself
        for asked in (p.classifier.embed(png(1)), p.classifier.explain(png(1))):
            with pytest.raises(NotSupported):
                await asked


@pytest.mark.parametrize(("layer", "index"), [(4, None), (-1, None), (None, 256), (None, -1)])
async def test_layers_and_classes_are_those_that_there_are(layer: int | None, index: int | None) -> None:
    async with inside() as (p, _):
        with pytest.raises(InvalidParameter):
            await p.classifier.explain(png(1), "attention", layer=layer, index=index)
        with pytest.raises(InvalidParameter, match="goes with"):
            await p.classifier.explain(png(1), "rollout", layer=0)
        with pytest.raises(NotSupported, match="torch"):
            await p.classifier.explain(png(1), "gradient")


async def test_the_last_layer_is_meant_where_none_is_named() -> None:
    async with inside() as (p, _):
        assert await p.classifier.inside.check_look("attention", None, None) == Look("attention", 3)


async def test_closing_finishes_what_was_taken_and_takes_no_more() -> None:
    async with inside() as (p, interior):
        await p.classifier.embed(png(1))
        interior.may_run.clear()
        taken = asyncio.create_task(p.classifier.embed(png(5)))
        await asyncio.sleep(0.02)
        closing = asyncio.create_task(p.classifier.inside.aclose(asyncio.get_running_loop().time() + 5))
        await asyncio.sleep(0.02)
        with pytest.raises(Draining):
            await p.classifier.embed(png(6))
        interior.may_run.set()
        assert (await taken).values[0] == 5
        await closing
