"""Owns the opening of classifiers with a cache of their own, whose graphs are made in this process; does not test."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.bootstrap import open_classifier
from app.domain import Candidate, ModelInfo
from app.engine.make import Order
from app.engine.make_here import make_here
from app.settings import Settings
from tests.graphs.tiny import blot_files, threads_kept

PICTURES = tuple(blot_files(5, seed=3).values())


@dataclass
class Maker:
    """In place of the child: makes what was ordered, and keeps the orders.

    `torch_factor` is what torch's rate is multiplied by, so that it loses or wins; `error` is raised instead.
    """

    orders: list[Order] = field(default_factory=list)
    torch_factor: float = 1e-3
    error: Exception | None = None

    def __call__(self, order: Order) -> tuple[Candidate, ...]:
        self.orders.append(order)
        if self.error:
            raise self.error
        with threads_kept():
            found = make_here(order)
        return tuple(replace(each, images_per_s=self.torch_factor * (each.images_per_s or 0)) for each in found)

    def made(self) -> list[bool]:
        """Of each order since last asked, whether graphs were to be made."""
        orders, self.orders = self.orders, []
        return [order.directory is not None for order in orders]


@dataclass(frozen=True)
class Start:
    """What a start came to: what is said of the model, and the scores of PICTURES, (images, classes)."""

    info: ModelInfo
    scores: npt.NDArray[np.float64]


def start(model: str | Path, cache: Path, **settings: Any) -> Start:
    """Opens a model, asks it, and closes it. Raises what a start raises."""

    async def run() -> Start:
        options = {"engine": "auto", "device": "cpu", "threads": 2, **settings}
        async with open_classifier(Settings(model=str(model), cache_dir=str(cache), **options)) as classifier:
            await classifier.ready()
            count = min(len(classifier.info.labels), 100)
            scores = np.zeros((len(PICTURES), len(classifier.info.labels)))
            for row, picture in enumerate(PICTURES):
                for each in (await classifier.classify(picture, top_k=count)).predictions:
                    scores[row, each.index] = each.score
            return Start(classifier.info, scores)

    with threads_kept():
        return asyncio.run(run())
