"""Owns the tests of cli/classify.py."""

import asyncio
import csv
import io
import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from app.classifier import Classifier
from app.cli.classify import Source, classify_in_order
from app.cli.main import main
from app.cli.results import Failure, Result
from app.domain import Classification, Timing
from app.errors import CorruptImage, Overloaded
from tests.cli.conftest import LABELS, Command
from tests.training.pictures import plain, write_files


@pytest.fixture
def classify(package: Path, capsys: pytest.CaptureFixture[str]):
    """Runs the command with the tiny package: (exit code, stdout, stderr)."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["classify", "--model", str(package), *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_files_and_folders_are_answered_in_the_order_given(classify, pictures: Path):
    code, out, err = classify(pictures / "upright", pictures / "lying" / "003.png", "--format", "json")
    assert (code, err) == (0, "")
    answers = json.loads(out)
    names = [str(Path(a["path"]).relative_to(pictures)) for a in answers]
    assert names == ["upright/000.png", "upright/002.png", "upright/004.png", "lying/003.png"]
    for answer in answers:
        assert answer["model"] == "vit_pico_patch4_32.test"
        assert sorted(p["label"] for p in answer["predictions"]) == sorted(LABELS)  # 5 are asked for, there are 3
        assert sum(p["score"] for p in answer["predictions"]) == pytest.approx(1, abs=1e-3)
        assert set(answer["timing_ms"]) == {"decode", "queue", "inference", "total"}


def test_a_folder_is_searched_to_its_depth_for_images_only(classify, pictures: Path):
    _, out, _ = classify(pictures, "--format", "csv", "--top-k", "1")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["path"] for row in rows] == sorted(str(p) for p in pictures.rglob("*.png"))
    assert {row["rank"] for row in rows} == {"1"}


def test_bad_files_are_reported_and_do_not_stop_the_others(classify, pictures: Path):
    write_files(pictures, {"broken.png": plain(1)[:50], "empty.png": b"", "hollow/readme.md": b""})
    names = ["broken.png", "empty.png", "notes.txt", "gone.png", "hollow", "upright/000.png"]
    code, out, err = classify(*(pictures / name for name in names), "--format", "json")
    answers = json.loads(out)
    assert code == 1
    codes = ["corrupt_image", "empty_body", "not_an_image", "unreadable_file", "no_images", None]
    assert [a.get("code") for a in answers] == codes
    assert "predictions" in answers[-1]
    assert err == "vit-serve classify: 5 of 6 images could not be classified\n"


def test_one_image_from_standard_input(classify, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(plain(200))))
    code, out, _ = classify("-", "--format", "json")
    assert code == 0
    (answer,) = json.loads(out)
    assert answer["path"] == "-"
    assert len(answer["predictions"]) == 3


def test_the_table_is_the_default(classify, pictures: Path):
    _, out, _ = classify(pictures / "lying" / "001.png", "--top-k", "2")
    assert out.splitlines()[0].split() == ["file", "label", "score", "ms"]
    assert len(out.splitlines()) == 4


@pytest.mark.parametrize("top_k", ["0", "4", "-1"])
def test_a_top_k_that_the_model_has_not_is_told_once(classify, pictures: Path, top_k: str):
    code, out, err = classify(pictures, "--top-k", top_k)
    assert (code, out) == (1, "")
    assert err.startswith(f"vit-serve: error: top_k is {top_k}; this model has 3 classes")


def test_a_service_in_a_hurry_does_not_hurry_the_command(classify, pictures: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VIT_REQUEST_TIMEOUT_MS", "0.001")
    monkeypatch.setenv("VIT_MAX_WAIT_MS", "0.001")
    monkeypatch.setenv("VIT_SLOTS", "2")
    code, out, _ = classify(*[pictures] * 8, "--format", "json")
    assert code == 0
    assert len(json.loads(out)) == 48


def test_an_untrained_model_says_so_beside_the_answers(vit_serve: Command, pictures: Path):
    done = vit_serve("classify", pictures / "lying", "--model", "noop", "--format", "json")
    assert done.returncode == 0
    assert [Path(a["path"]).name for a in json.loads(done.stdout)] == ["001.png", "003.png", "005.png"]
    assert done.stderr == "vit-serve classify: note: noop: no forward pass was made, the answer is always the same\n"


def test_a_missing_model_is_one_line(vit_serve: Command, pictures: Path):
    done = vit_serve("classify", pictures, VIT_MODEL="nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vit-serve: error: 'nowhere' is neither")
    assert done.stderr.count("\n") == 1


class FakeClassifier:
    """Answers by the first byte: its number of event loop turns to take; remembers how many were at work at once."""

    def __init__(self, refusals: int = 0) -> None:
        self.working = self.most = self.calls = 0
        self.refusals = refusals

    async def classify(self, data: bytes, *, top_k: int) -> Classification:
        self.calls += 1
        if self.refusals:
            self.refusals -= 1
            raise Overloaded("full", retry_after_s=0.0)
        self.working += 1
        self.most = max(self.most, self.working)
        for _ in range(data[0]):
            await asyncio.sleep(0)
        self.working -= 1
        if data[0] == 13:
            raise CorruptImage("unlucky")
        return Classification(str(data[0]), (), Timing(0, 0, 0, 0), 1)


class EndlessClassifier(FakeClassifier):
    """Never answers; `busy` is set once four images are at work."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = asyncio.Event()

    async def classify(self, data: bytes, *, top_k: int) -> Classification:
        self.working += 1
        if self.working == 4:
            self.busy.set()
        await asyncio.Event().wait()
        raise AssertionError


async def collect(fake: FakeClassifier, numbers: list[int], in_flight: int) -> list[Result]:
    sources = [Source(str(n), partial(bytes, [n])) for n in numbers]
    return [r async for r in classify_in_order(cast(Classifier, fake), sources, 1, in_flight)]


async def test_results_keep_their_order_whatever_finishes_first():
    numbers = [40, 1, 30, 13, 2, 20, 3]
    results = await collect(FakeClassifier(), numbers, in_flight=4)
    assert [int(r.path) for r in results] == numbers
    assert [r.outcome.model for r in results if isinstance(r.outcome, Classification)] == [
        "40",
        "1",
        "30",
        "2",
        "20",
        "3",
    ]
    assert results[3].outcome == Failure("unlucky", "corrupt_image")


async def test_no_more_are_at_work_than_allowed():
    fake = FakeClassifier()
    await collect(fake, [5] * 40, in_flight=6)
    assert fake.most == 6
    assert fake.working == 0


async def test_a_full_queue_is_tried_again_later():
    fake = FakeClassifier(refusals=3)
    results = await collect(fake, [1, 2], in_flight=2)
    assert [r.outcome.model for r in results if isinstance(r.outcome, Classification)] == ["1", "2"]
    assert fake.calls == 5


async def test_work_that_nobody_waits_for_is_cancelled():
    fake = EndlessClassifier()
    before = asyncio.all_tasks()
    sources = [Source(str(n), partial(bytes, [n])) for n in range(4)]
    results = classify_in_order(cast(Classifier, fake), sources, 1, 4)
    task = asyncio.ensure_future(anext(results))
    await fake.busy.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for _ in range(10):  # a task that is cancelled ends within a few turns
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
