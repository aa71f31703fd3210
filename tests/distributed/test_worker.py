"""Owns one worker in this process: what it does with a shard, and why it may not; needs no cluster."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import SetupError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray")]


def worker(out: Path, model: Path, sha256: str | None = None) -> Any:
    from app.distributed.places import output_place
    from app.distributed.store import Store
    from app.distributed.worker import Job, Worker, look

    options = {"model": str(model), "engine": "torch", "device": "cpu", "threads": 1}
    store = Store(output_place(str(out)))
    store.claim({"model": "tiny"})
    digest = look(options, None).sha256 if sha256 is None else sha256
    return Worker(Job(options, digest, 2, "image", str(out)))


def test_a_shard_is_done_once(folder: Path, bare: Path, tmp_path: Path) -> None:
    from app.distributed.plan import Shard
    from app.distributed.store import Outcome

    subject = worker(tmp_path / "out", bare)
    assert subject.open() is None
    names = ("a/001.png", "a/bad.png", "a/gone.png")
    shard = Shard("0000-000000", "files", tuple(str(folder / name) for name in names)).to_json()
    assert subject.do(shard) == Outcome("0000-000000", 3, 2)
    part = tmp_path / "out" / "part-0000-000000.parquet"
    written = part.stat().st_mtime_ns
    assert subject.do(shard) == Outcome("0000-000000", 3, 2)
    assert part.stat().st_mtime_ns == written
    elsewhere = Shard("0000-000001", "files", (str(tmp_path / "elsewhere" / "a.png"),)).to_json()
    with pytest.raises(SetupError, match="elsewhere: a node does not see this folder"):
        subject.do(elsewhere)


def test_a_worker_with_other_weights_does_nothing(bare: Path, tmp_path: Path) -> None:
    assert "the nodes have different weights by the name" in worker(tmp_path / "out", bare, "other").open()


def test_a_worker_that_does_not_see_the_results_does_nothing(bare: Path, tmp_path: Path) -> None:
    subject = worker(tmp_path / "out", bare)
    (tmp_path / "out" / "_run.json").unlink()
    assert "every node sees" in subject.open()


def test_a_model_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    from app.distributed.worker import look

    error = look({"model": str(tmp_path / "none")}, None).error
    assert error and str(tmp_path / "none") in error and "\n" not in error
