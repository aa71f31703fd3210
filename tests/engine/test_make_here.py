"""Owns the tests of engine/make_here.py, in this process; those of the child are in test_make.py."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.engine import make_here as module
from app.engine.make import Order
from app.engine.make_here import make_here
from app.errors import ExportFailed, PackageError
from app.graphs.folder import read_graphs
from tests.graphs.tiny import ill_conditioned, network, saved, threads_kept

BOTH = ("bfloat16", "float32")


@pytest.fixture(autouse=True)
def own_threads() -> Iterator[None]:
    with threads_kept():
        yield


def order(model: Path, **changes: object) -> Order:
    return replace(Order(str(model), "the key", None, BOTH, 2, 1, 4, True, 0.01), **changes)  # type: ignore[arg-type]


def test_without_a_directory_torch_is_measured_and_nothing_made(bare: Path) -> None:
    before = set(bare.parent.iterdir())
    found = make_here(order(bare))
    assert [(each.engine, each.precision, each.lanes) for each in found] == [("torch", each, 1) for each in BOTH]
    assert all(each.images_per_s and not each.why_not for each in found)
    assert set(bare.parent.iterdir()) == before


def test_what_is_measured_is_the_network_as_it_was_exported(bare: Path, tmp_path: Path) -> None:
    """It is folded once, in exporting it; folded twice it would be another."""
    with_graph = make_here(order(bare, directory=str(tmp_path / "graphs")))
    assert [each.why_not for each in with_graph] == [None, None]
    assert np.abs(read_graphs(tmp_path / "graphs", "the key").logits["float32"]).max() > 1


def unlike_itself(folder: Path) -> Path:
    """Its logits, of about 1000, are apart by less than bfloat16 tells."""
    made = network()
    made.head.bias.add_(1000)
    return saved(folder, made)


def test_a_number_format_that_answers_otherwise_is_left_out(tmp_path: Path) -> None:
    rounded, exact = make_here(order(unlike_itself(tmp_path)))
    assert rounded.images_per_s is None
    assert rounded.why_not and ("another class" in rounded.why_not or "a score differs" in rounded.why_not)
    assert exact.images_per_s and not exact.why_not


def test_who_names_a_number_format_gets_it_as_it_is(tmp_path: Path) -> None:
    [rounded] = make_here(order(unlike_itself(tmp_path), precisions=("bfloat16",), strict=False))
    assert rounded.images_per_s and not rounded.why_not


def test_out_of_time_no_further_format_is_measured(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUDGET_S", -1.0)
    found = make_here(order(bare))
    assert {(each.images_per_s, each.why_not) for each in found} == {(None, "not measured, there was no time left")}


def test_what_is_exported_is_measured_without_rounding_it(bare: Path, tmp_path: Path) -> None:
    """bfloat16 is measured first, on a copy."""
    graphs = [make_here(order(bare, precisions=each, directory=str(tmp_path / str(len(each))))) for each in ((), BOTH)]
    assert graphs[0] == []
    one, other = (read_graphs(tmp_path / name, "the key").logits["float32"] for name in ("0", "2"))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("directory", [True, False])
def test_what_cannot_be_loaded_is_said_as_loading_says_it(tmp_path: Path, directory: bool) -> None:
    with pytest.raises(PackageError, match="neither"):
        make_here(order(tmp_path / "none", directory=str(tmp_path / "graphs") if directory else None))
    assert not (tmp_path / "graphs").exists()


def test_what_cannot_be_exported_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed):
        make_here(order(saved(tmp_path / "ill", ill_conditioned()), directory=str(tmp_path / "graphs")))
    assert not (tmp_path / "graphs" / "manifest.json").exists()


def test_random_weights_are_those_of_the_serving_process(tmp_path: Path) -> None:
    directory = tmp_path / "graphs"
    torch.manual_seed(5)
    make_here(Order("random:vit_pico_patch4_32", "k", str(directory), (), 1, 1, 1, True, 0.01))
    first = read_graphs(directory, "k").logits["float32"]
    torch.manual_seed(6)
    make_here(Order("random:vit_pico_patch4_32", "k", str(tmp_path / "again"), (), 1, 1, 1, True, 0.01))
    assert np.array_equal(first, read_graphs(tmp_path / "again", "k").logits["float32"])
