"""Owns the images of a shard → its rows; does not know where either lie."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import Any

from app.bulk.answers import answer_in_order, busy
from app.bulk.images import Image
from app.bulk.rows import row_of
from app.classifier import Classifier


async def answer_images(
    classifier: Classifier, images: Iterator[Image], top_k: int, threads: Executor
) -> list[dict[str, Any]]:
    """A row for each image, in their order; what cannot be read or classified is a row with a code.

    `threads` read. Raises EngineFailed, NotReady or Draining: then nothing is known of the images.
    """
    async with aclosing(
        answer_in_order(
            images,
            # Refused by what is being decoded, for which nobody waits in line.
            lambda data: classifier.classify(data, top_k=top_k, patient=True),
            busy(classifier),
            threads,
        )
    ) as answers:
        return [row_of(image, outcome) async for image, outcome in answers]
