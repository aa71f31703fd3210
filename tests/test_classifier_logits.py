"""Owns the tests of what `Classifier` takes and gives beside files and best classes: pixels, and logits of all."""

import asyncio

import numpy as np
import pytest

from app.errors import MalformedRequest
from tests.test_classifier import place, png


def test_logits_are_told_as_they_are() -> None:
    async def run() -> None:
        async with place() as p:
            answer = await p.classifier.logits(png(77))
            assert answer.values == (77.0, 1.0, 2.0)
            assert answer.timing.total_ms > 0 and answer.batch_size == 1

    asyncio.run(run())


def test_pixels_go_in_as_they_are_and_must_be_of_the_models_size() -> None:
    async def run() -> None:
        async with place() as p:
            answer = await p.classifier.classify(np.full((4, 4, 3), 9, np.uint8), top_k=1)
            assert answer.predictions[0].index == 9
            with pytest.raises(MalformedRequest, match="4, 4, 3"):
                await p.classifier.classify(np.zeros((4, 5, 3), np.uint8))
            assert p.slots.in_use == 0

    asyncio.run(run())
