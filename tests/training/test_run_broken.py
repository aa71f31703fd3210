"""Owns the tests of runs on data with broken files: what is refused, skipped, listed and told on the card."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import DatasetError, SetupError
from app.training.run import RunConfig, run
from tests.training.pictures import plain, stripe_files, write_files, write_zip
from tests.training.test_run import Report, ignore, weights
from tests.training.test_run import config as config  # a fixture

BROKEN = {"upright/000a.png": plain(1)[:40], "lying/001a.jxl": b"\xff\x0a", "lying/001b.png": b""}


@pytest.fixture
def damaged(config: RunConfig) -> RunConfig:
    """The same images, and three files among them that are none."""
    return replace(config, data=write_zip(config.data.with_name("damaged.zip"), stripe_files(60) | BROKEN))


def test_a_run_refuses_and_names_all_that_is_broken_before_it_trains(damaged: RunConfig) -> None:
    told: list[Report] = []
    with pytest.raises(DatasetError, match="3 of 63 images cannot be read; --skip-broken") as caught:
        run(damaged, told.append)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [*sorted(BROKEN)]
    assert len(told) == 63
    assert not (damaged.out / "skipped.txt").exists()


def test_what_is_skipped_is_listed_and_changes_nothing_else(
    damaged: RunConfig, config: RunConfig, tmp_path: Path
) -> None:
    warned: list[str] = []
    run(replace(damaged, skip_broken=True), ignore, warn=warned.append)
    whole = replace(config, out=tmp_path / "whole", skip_broken=True)
    run(whole, ignore, warn=warned.append)
    assert weights(damaged.out) == weights(whole.out)
    rows = [line.split("\t") for line in (damaged.out / "skipped.txt").read_text().splitlines()]
    assert [row[:2] for row in rows] == [["damaged.zip", name] for name in sorted(BROKEN)]
    assert all(len(row) == 3 and row[2] for row in rows)
    assert str(tmp_path) not in (damaged.out / "skipped.txt").read_text()
    (warning,) = warned
    assert warning.startswith(f"{damaged.data}: 3 images cannot be read and are left out:\n  lying/001a.jxl: ")
    card = (damaged.out / "README.md").read_text()
    assert "60 images in 2 classes. 3 more could not be read and were left out: `skipped.txt` beside" in card
    assert " --skip-broken\n" in card
    assert json.loads((damaged.out / "config.json").read_text())["vit_serve"]["training"]["skipped"] == 3
    assert "left out" not in (whole.out / "README.md").read_text()
    assert not (whole.out / "skipped.txt").exists()


def test_broken_images_of_no_class_are_skipped_too(config: RunConfig, tmp_path: Path) -> None:
    others = write_files(tmp_path / "others", {"1.png": plain(9), "2.avif": b"no picture", "3.png": plain(200)})
    config = replace(config, out_of_scope=others)
    with pytest.raises(DatasetError, match=r"1 of 3 images cannot be read; .*\n  2\.avif"):
        run(config, ignore)
    run(replace(config, skip_broken=True), ignore)
    assert (config.out / "skipped.txt").read_text().startswith("others\t2.avif\t")
    card = (config.out / "README.md").read_text()
    assert "60 images in 2 classes. 1 of none of the classes could not be read and were left out" in card
    summary = json.loads((config.out / "config.json").read_text())["vit_serve"]["training"]
    assert "skipped" not in summary
    assert (summary["out_of_scope"]["images"], summary["out_of_scope"]["skipped"]) == (2, 1)


def test_the_list_of_an_earlier_reading_does_not_stay(damaged: RunConfig, config: RunConfig) -> None:
    run(replace(damaged, skip_broken=True), ignore)
    assert (config.out / "skipped.txt").exists()
    run(config, ignore)  # the same images, mended
    assert not (config.out / "skipped.txt").exists()


def test_a_strangers_list_is_not_written_over(damaged: RunConfig) -> None:
    write_files(damaged.out, {"skipped.txt": b"precious"})
    with pytest.raises(SetupError, match=r"holds a skipped\.txt that is not of a run"):
        run(replace(damaged, skip_broken=True), ignore)
    assert (damaged.out / "skipped.txt").read_bytes() == b"precious"
