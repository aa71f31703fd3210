"""Owns the tests of engine/open_openvino.py, through bootstrap."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.checkpoints.export import export_package
from app.errors import ExportFailed, PackageError
from app.graphs.folder import GRAPHS_NAME
from tests.engine.opening import PICTURES, Maker, Start, start
from tests.graphs.tiny import LABELS, changed, copied, ill_conditioned, saved, with_int8

ROOT = Path(__file__).parents[2]


def near(one: Start, other: Start, atol: float = 1e-4) -> bool:
    return bool(np.abs(one.scores - other.scores).max() < atol)


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_the_first_start_exports_and_the_second_remembers(
    bare: Path, cache: Path, maker: Maker, by_torch: Start, engine: str
) -> None:
    first = start(bare, cache, engine=engine, precision="float32")
    assert [order.precisions for order in maker.orders] == [("float32",) if engine == "auto" else ()]
    assert maker.made() == [True]
    maker.error = AssertionError("nothing is to be made")
    second = start(bare, cache, engine=engine, precision="float32")
    assert (first.info.engine, first.info.precision, first.info.device) == ("openvino", "float32", "cpu")
    assert second.info == first.info
    assert near(first, by_torch) and near(second, by_torch)
    assert replace(first.info, engine="torch", candidates=(), engine_reason="", lanes=1) == replace(
        by_torch.info, candidates=(), engine_reason="", lanes=1
    )


def test_what_it_was_chosen_from_is_told(bare: Path, cache: Path, maker: Maker) -> None:
    info = start(bare, cache).info
    assert {each.engine for each in info.candidates} == {"openvino", "torch"}
    [chosen] = [each for each in info.candidates if (each.precision, each.lanes) == (info.precision, info.lanes)][:1]
    assert chosen.engine == "openvino" and chosen.images_per_s
    assert info.engine_reason is None
    assert start(bare, cache, engine="openvino").info.engine_reason == "it was asked for"


def test_where_torch_is_faster_it_is_taken_and_remembered(
    bare: Path, cache: Path, maker: Maker, by_torch: Start
) -> None:
    maker.torch_factor = 1e6
    first = start(bare, cache, precision="float32")
    maker.error = AssertionError("nothing is to be made")
    for entry in (cache / "graphs").glob("*/*"):
        entry.unlink()  # of no use here
    second = start(bare, cache, precision="float32")
    assert first.info == second.info
    assert (first.info.engine, first.info.precision) == ("torch", "float32")
    assert [each.engine for each in first.info.candidates if (each.images_per_s or 0) > 1e7] == ["torch"]
    assert near(first, by_torch, 1e-5) and near(second, by_torch, 1e-5)


def test_a_truncated_entry_is_made_anew(
    bare: Path, cache: Path, maker: Maker, by_torch: Start, caplog: pytest.LogCaptureFixture
) -> None:
    name = "float32.bin"  # of the others, see tests/graphs/test_folder.py
    start(bare, cache, engine="openvino", precision="float32")
    [path] = (cache / "graphs").glob(f"*/{name}")
    path.write_bytes(path.read_bytes()[:-40])
    assert maker.made() == [True]
    with caplog.at_level(logging.WARNING):
        again = start(bare, cache, engine="openvino", precision="float32")
    assert maker.made() == [True]
    assert name in caplog.text and "made again" in caplog.text
    start(bare, cache, engine="openvino", precision="float32")
    assert maker.made() == []
    assert near(again, by_torch)


def test_a_choice_that_cannot_be_read_is_made_anew(bare: Path, cache: Path, maker: Maker) -> None:
    first = start(bare, cache, precision="float32")
    [path] = (cache / "choices").iterdir()
    maker.made()
    for text in ("", "{", "[]", "{}", '{"best": {}}', '{"best": {"engine": "x"}, "candidates": 3}'):
        path.write_text(text)
        assert start(bare, cache, precision="float32").info.engine == first.info.engine
        assert maker.made() == [False]  # torch is measured, the graphs are there
        assert "best" in json.loads(path.read_text())


def test_a_choice_holds_only_where_it_was_made(bare: Path, cache: Path, maker: Maker) -> None:
    start(bare, cache, precision="float32")
    for settings in ({"threads": 1}, {"max_batch_size": 3}, {"precision": "auto"}, {"engine": "openvino"}):
        start(bare, cache, **{"precision": "float32", **settings})
    assert len(list((cache / "choices").iterdir())) == 5
    assert len(list((cache / "graphs").iterdir())) == 1
    assert maker.made() == [True, False, False, False]


def test_a_choice_is_made_again_by_another_version(
    tmp_path: Path, cache: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may be able to export what this one could not."""
    package = saved(tmp_path / "ill", ill_conditioned())
    for version in ("0.1.0", "0.1.0", "0.2.0"):
        monkeypatch.setattr("app.engine.open_openvino.VERSION", version)
        start(package, cache)
    assert maker.made() == [True, True]


def test_labels_and_temperature_are_the_packages_own_of_today(bare: Path, cache: Path, maker: Maker) -> None:
    package = copied(bare, cache.parent / "package")
    before = start(package, cache, engine="openvino", precision="float32")
    changed(package, vit_serve={"calibration": {"temperature": 4.0, "threshold": 0.6}}, label_names=["a", "b", "c"])
    after = start(package, cache, engine="openvino", precision="float32")
    assert maker.made() == [True]
    assert (after.info.labels, after.info.threshold) == (("a", "b", "c"), 0.6)
    flattened = before.scores**0.25
    assert np.abs(after.scores - flattened / flattened.sum(axis=1, keepdims=True)).max() < 1e-4


def test_int8_is_taken_where_it_is_asked_for(built: Path, key: str, cache: Path, maker: Maker, by_torch: Start) -> None:
    package = with_int8(copied(built, cache.parent / "package"), key)
    found = start(package, cache, precision="int8")
    assert (found.info.engine, found.info.precision.partition("+")[0]) == ("openvino", "int8")
    assert near(found, by_torch, 0.05)  # what passes for int8 here may compute in bfloat16
    assert maker.made() == []
    assert {each.engine for each in found.info.candidates} == {"openvino"}


def test_int8_that_is_not_there_is_refused_before_anything_is_made(bare: Path, cache: Path, maker: Maker) -> None:
    for engine in ("auto", "openvino"):
        with pytest.raises(PackageError, match="carries no int8 graph; `vit-serve quantize` makes"):
            start(bare, cache, engine=engine, precision="int8")
    assert maker.made() == []


def test_int8_that_does_not_hold_on_this_processor_is_refused(built: Path, key: str, cache: Path, maker: Maker) -> None:
    package = with_int8(copied(built, cache.parent / "package"), key, lambda logits: -logits)
    for _ in range(2):  # the second remembers
        with pytest.raises(ExportFailed, match="int8: it names another class first"):
            start(package, cache, precision="int8")
    assert start(package, cache).info.precision in ("float32", "bfloat16")


def test_what_cannot_be_exported_goes_on_in_torch_and_says_why(tmp_path: Path, cache: Path, maker: Maker) -> None:
    package = saved(tmp_path / "ill", ill_conditioned())
    first = start(package, cache)
    assert first.info.engine == "torch"
    assert first.info.engine_reason and "logits differ from torch's by" in first.info.engine_reason
    assert maker.made() == [True]
    assert start(package, cache).info == first.info
    assert maker.made() == []


def test_what_cannot_be_exported_is_refused_where_openvino_is_asked_for(
    tmp_path: Path, cache: Path, maker: Maker
) -> None:
    package = saved(tmp_path / "ill", ill_conditioned())
    for _ in range(2):
        with pytest.raises(ExportFailed, match="logits differ from torch's by"):
            start(package, cache, engine="openvino")
    assert maker.made() == [True]


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_package_with_damaged_graphs_is_refused_in_one_line(
    built: Path, cache: Path, maker: Maker, engine: str
) -> None:
    package = copied(built, cache.parent / "package")
    path = package / GRAPHS_NAME / "float32.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PackageError, match=r"float32\.bin: is damaged") as caught:
        start(package, cache, engine=engine)
    assert "\n" not in str(caught.value)
    assert start(package, cache, engine="torch").info.engine == "torch"  # which does not need them


def test_graphs_of_another_version_are_made_again(
    built: Path, cache: Path, maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    package = copied(built, cache.parent / "package")
    changed_manifest = package / GRAPHS_NAME / "manifest.json"
    changed_manifest.write_text(json.dumps({**json.loads(changed_manifest.read_text()), "format": 0}))
    with caplog.at_level(logging.WARNING):
        assert start(package, cache, engine="openvino").info.engine == "openvino"
    assert maker.made() == [True]
    assert "graphs of format 0" in caplog.text


def test_a_package_that_carries_its_graph_needs_none_in_the_cache(
    built: Path, cache: Path, maker: Maker, by_torch: Start
) -> None:
    found = start(built, cache, engine="openvino", precision="float32")
    assert near(found, by_torch)
    assert maker.made() == []
    assert not (cache / "graphs").exists()
    start(built, cache, precision="float32")
    assert maker.made() == [False]  # torch is measured


def test_what_lies_in_two_places_is_called_by_its_place(bare: Path, cache: Path, maker: Maker) -> None:
    for name in ("one", "two"):
        export_package(bare, "hf", cache.parent / name)
        found = start(cache.parent / name, cache, engine="openvino").info
        assert found.name == start(cache.parent / name, cache, engine="torch").info.name
        assert found.name.endswith(name)


def test_a_foreign_checkpoint_is_described_by_the_cache(bare: Path, cache: Path, maker: Maker) -> None:
    export_package(bare, "hf", cache.parent / "theirs")
    settings = {"precision": "float32", "engine": "openvino"}
    first, second = (start(cache.parent / "theirs", cache, **settings) for _ in range(2))
    in_torch = start(cache.parent / "theirs", cache, precision="float32", engine="torch")
    assert maker.made() == [True]
    assert first.info == second.info
    assert first.info.labels == LABELS
    # How many lanes is measured, so another machine may take another number.
    assert replace(first.info, engine="torch", candidates=(), lanes=in_torch.info.lanes) == in_torch.info
    assert near(second, in_torch)


SERVES = """
import asyncio, sys
from pathlib import Path
from app.bootstrap import open_classifier
from app.settings import Settings
async def run(model, cache, *pictures):
    settings = Settings(model=model, cache_dir=cache, engine="auto", device="cpu", threads=2)
    async with open_classifier(settings) as served:
        await served.ready()
        for picture in pictures:
            [best] = (await served.classify(Path(picture).read_bytes(), top_k=1)).predictions
            print(best.label, best.score)
        assert (await served.embed(Path(picture).read_bytes())).values.shape == (16,)
        assert (await served.explain(Path(picture).read_bytes())).predictions[0].label == best.label
asyncio.run(run(*sys.argv[1:]))
assert "openvino" in sys.modules
assert "torch" not in sys.modules, "torch was imported"
"""


def test_from_a_warm_cache_all_is_served_without_torch(bare: Path, cache: Path, maker: Maker) -> None:
    here = start(bare, cache)
    paths = [cache.parent / f"{n}.png" for n in range(len(PICTURES))]
    for path, data in zip(paths, PICTURES, strict=True):
        path.write_bytes(data)
    ended = subprocess.run(
        [sys.executable, "-c", SERVES, bare, cache, *paths],
        cwd=ROOT,
        env={**os.environ, "HOME": str(cache)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for line, scores in zip(ended.stdout.splitlines(), here.scores, strict=True):
        label, score = line.split()
        assert label == LABELS[scores.argmax()]
        assert float(score) == pytest.approx(scores.max(), abs=1e-4)
