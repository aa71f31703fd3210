"""Owns images a second by one worker and by two, beside one process without Ray; asserts only generous bounds."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import open_classifier
from app.settings import Settings

pytestmark = [pytest.mark.ray, pytest.mark.benchmark, pytest.mark.timeout(600)]
PHOTOGRAPHS = sorted((Path(__file__).parents[2] / "app" / "graphs" / "photographs").glob("*.jpg"))
IMAGES, IN_A_SHARD = 1600, 100


def settings() -> Settings:
    return Settings(engine="openvino", device="cpu", threads=1, max_wait_ms=1e7, request_timeout_ms=1e7)


async def alone(files: list[Path]) -> float:
    """Images a second of one process, by what a worker does."""
    from app.distributed.answers import answer_images
    from app.distributed.images import images_of
    from app.distributed.plan import Shard

    shard = Shard("s", "files", tuple(map(str, files)))
    with ThreadPoolExecutor(32) as threads:
        async with open_classifier(settings()) as classifier:
            await classifier.ready()
            began = time.monotonic()
            rows = await answer_images(classifier, images_of(shard, "image"), 5, threads)
            assert not [row for row in rows if row["code"]]
            return len(rows) / (time.monotonic() - began)


def test_two_workers_beside_one_and_beside_a_process_without_ray(cluster: Any, tmp_path: Path) -> None:
    from app.distributed.bulk import Request, classify_in_bulk

    folder = tmp_path / "in"
    folder.mkdir()
    files = [folder / f"{number:05}.jpg" for number in range(IMAGES)]
    for number, file in enumerate(files):
        file.write_bytes(PHOTOGRAPHS[number % len(PHOTOGRAPHS)].read_bytes())
    single = asyncio.run(alone(files))
    print(f"\none process without Ray, one thread: {single:.0f} images/s")
    for workers in (1, 2):
        request = Request(
            *((str(folder),), str(tmp_path / f"out{workers}"), cluster.address),
            shard_images=IN_A_SHARD,
            workers=workers,
        )
        progress = classify_in_bulk(request, settings(), lambda progress: None, lambda note: None)
        assert (progress.images, progress.failed) == (IMAGES, 0)
        print(f"{workers} workers: {progress.images_per_s:.0f} images/s, {progress.images_per_s / single:.2f} times")
        assert progress.images_per_s > 0.3 * single
