"""Owns the tests of engine/obtain.py, through bootstrap."""

import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest

from app.checkpoints.located import locate
from app.errors import ExportFailed, ExportInterrupted, PackageError
from app.graphs.build import leave_out_float
from app.graphs.cache import Cache
from tests.engine.opening import Maker, Start, start
from tests.graphs.tiny import copied, with_int8


@pytest.mark.usefixtures("without_torch")
def test_without_torch_and_a_graph_a_start_names_the_way_out(bare: Path, cache: Path, maker: Maker) -> None:
    for engine in ("auto", "openvino"):
        with pytest.raises(PackageError, match=r"torch, which makes one, is not installed here: `vit-serve build`"):
            start(bare, cache, engine=engine)
    assert maker.made() == []


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_without_torch_a_package_with_its_graph_is_served(
    built: Path, cache: Path, maker: Maker, by_torch: Start, engine: str
) -> None:
    found = start(built, cache, engine=engine, precision="float32")
    assert found.info.engine == "openvino"
    assert {each.engine for each in found.info.candidates} == {"openvino"}
    assert np.abs(found.scores - by_torch.scores).max() < 1e-4
    assert maker.made() == []


def test_without_torch_int8_is_better_than_nothing(
    built: Path, key: str, cache: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = with_int8(copied(built, cache.parent / "package"), key)
    leave_out_float(package, key)
    assert start(package, cache / "with").info.engine == "openvino"
    assert maker.made() == [True]
    for module in ("choose", "obtain", "open_openvino"):
        monkeypatch.setattr(f"app.engine.{module}.torch_is_installed", lambda: False)
    found = start(package, cache / "without")
    assert {each.precision.partition("+")[0] for each in found.info.candidates} == {"int8"}
    assert found.info.precision.startswith("int8")
    for precision in ("float32", "bfloat16"):
        with pytest.raises(PackageError, match="carries no float32 graph for OpenVINO, and torch"):
            start(package, cache / "without", precision=precision)
    assert maker.made() == []


def test_where_nothing_can_be_kept_each_start_makes_it_again(
    bare: Path, cache: Path, maker: Maker, by_torch: Start, caplog: pytest.LogCaptureFixture
) -> None:
    cache.touch()  # a file, where a directory should be
    before = set(Path(tempfile.gettempdir()).glob("vit-serve.*"))
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = start(bare, cache, engine="openvino", precision="float32")
        assert np.abs(found.scores - by_torch.scores).max() < 1e-4
        assert maker.made() == [True]
        assert "nothing can be kept in the cache" in caplog.text
    assert set(Path(tempfile.gettempdir()).glob("vit-serve.*")) == before


def test_a_full_disk_of_the_cache_is_no_reason_to_stop(
    bare: Path, cache: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full_there(order: object) -> object:
        if str(cache) in str(order):
            maker.orders.append(order)  # type: ignore[arg-type]
            raise OSError("the graphs cannot be written: No space left on device")
        return maker(order)  # type: ignore[arg-type]

    monkeypatch.setattr("app.engine.obtain.make", full_there)
    with caplog.at_level(logging.WARNING):
        assert start(bare, cache, engine="openvino").info.engine == "openvino"
    assert maker.made() == [True, True]
    assert "No space left" in caplog.text
    assert not list((cache / "graphs").iterdir())


def test_where_there_is_no_place_at_all_it_says_so_and_torch_serves(bare: Path, cache: Path, maker: Maker) -> None:
    maker.error = OSError("No space left on device")
    with pytest.raises(ExportInterrupted, match=r"no place to write the graphs to: No space .*VIT_CACHE_DIR"):
        start(bare, cache, engine="openvino")
    found = start(bare, cache).info
    assert found.engine == "torch"
    assert found.engine_reason and "no place" in found.engine_reason


def test_what_was_cut_short_is_tried_again(bare: Path, cache: Path, maker: Maker) -> None:
    maker.error = ExportInterrupted("the exporting process ended with -9: no reason")
    for _ in range(2):
        assert start(bare, cache).info.engine_reason == str(maker.error)
        assert maker.made() == [True]
    maker.error = None
    assert start(bare, cache).info.engine == "openvino"
    maker.made()
    maker.error = ExportFailed("it differs")  # which is for good
    for made in ([True], []):
        assert start(bare, cache / "other").info.engine_reason == "it differs"
        assert maker.made() == made


def test_torch_that_cannot_be_measured_is_no_reason_to_stop(
    built: Path, cache: Path, maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    maker.error = ExportFailed("out of memory")
    with caplog.at_level(logging.WARNING):
        found = start(built, cache).info
    assert found.engine == "openvino"
    assert {each.engine for each in found.candidates} == {"openvino"}
    assert "torch was not measured: out of memory" in caplog.text


def test_the_order_is_what_was_wished(bare: Path, cache: Path, maker: Maker) -> None:
    start(bare, cache, threads=3, max_batch_size=5)
    [order] = maker.orders
    assert (order.model, order.cores, order.lanes, order.max_batch_size, order.strict) == (str(bare), 3, 3, 5, True)
    assert order.key == locate(str(bare)).key
    start(bare, cache, precision="bfloat16")
    assert (maker.orders[-1].precisions, maker.orders[-1].strict) == (("bfloat16",), False)


def test_nothing_of_an_export_is_left_but_the_entry(bare: Path, cache: Path, maker: Maker) -> None:
    start(bare, cache)
    [entry] = (cache / "graphs").iterdir()
    assert entry.name.startswith(locate(str(bare)).key)
    assert {path.name for path in entry.iterdir()} == {
        *("manifest.json", "description.json", "float32.xml", "float32.bin", "probes.safetensors")
    }
    assert Cache(cache).graphs(locate(str(bare)).key)
    assert "best" in json.loads(next((cache / "choices").iterdir()).read_text())
