"""Owns the images of a shard → its rows, many at a time; does not know where either lie."""

import asyncio
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

from app.classifier import Classifier
from app.distributed.images import Image, Unreadable
from app.domain import Classification
from app.errors import Unavailable, VitServeError
from app.scheduling.patience import until_taken


async def answer_images(
    classifier: Classifier, images: Iterator[Image], top_k: int, threads: Executor
) -> list[dict[str, Any]]:
    """A row for each image, in their order; what cannot be read or classified is a row with a code.

    `threads` read. Raises EngineFailed, NotReady or Draining: then nothing is known of the images.
    """
    loop = asyncio.get_running_loop()
    # Twice what the device takes at a time keeps it busy while the next are read and decoded.
    in_flight = min(2 * classifier.info.lanes * classifier.info.max_batch_size, classifier.slots)
    rows: list[dict[str, Any]] = []
    pending: deque[asyncio.Task[dict[str, Any]]] = deque()
    try:
        while (image := await loop.run_in_executor(threads, next, images, None)) is not None:
            if len(pending) == in_flight:
                rows.append(await pending.popleft())
            pending.append(asyncio.create_task(_row(classifier, image, top_k, threads)))
        while pending:
            rows.append(await pending.popleft())
    finally:
        for task in pending:
            task.cancel()
    return rows


async def _row(classifier: Classifier, image: Image, top_k: int, threads: Executor) -> dict[str, Any]:
    row = {"id": image.id, "source": image.source, "member": image.member, "row": image.row}
    try:
        data = await asyncio.get_running_loop().run_in_executor(threads, image.read)
        # Refused by what is being decoded, for which nobody waits in line.
        answer = await until_taken(lambda: classifier.classify(data, top_k=top_k, patient=True))
        return row | _answered(answer)
    except Unreadable as error:
        return row | _failed("unreadable_file", str(error))
    except Unavailable:
        raise
    except VitServeError as error:
        return row | _failed(error.code, str(error))


def _answered(answer: Classification) -> dict[str, Any]:
    predictions = [{"label": p.label, "index": p.index, "score": p.score, "id": p.id} for p in answer.predictions]
    return {"predictions": predictions, "confidence": answer.confidence, "code": None, "error": None}


def _failed(code: str, sentence: str) -> dict[str, Any]:
    return {"predictions": None, "confidence": None, "code": code, "error": sentence}
