"""Owns the tests of graphs/build.py."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from app.checkpoints.located import locate
from app.checkpoints.own import load_package
from app.errors import PackageError
from app.graphs.build import build_package, leave_out_float, write_graphs
from app.graphs.export import logits_of
from app.graphs.folder import GRAPHS_NAME, read_graphs
from app.graphs.library import openvino
from app.network.fold import fold_normalisation
from tests.graphs import tiny


def test_a_package_gets_its_graph_and_keeps_its_files(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for path in bare.iterdir():
        (tmp_path / "source" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "source" / "README.md").write_text("words")
    description, key = build_package(str(tmp_path / "source"), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"README.md", "config.json", "model.safetensors"}
    assert (description.labels, description.sha256) == (tiny.LABELS, load_package(bare).sha256)
    graphs = read_graphs(tmp_path / "out" / GRAPHS_NAME, key)
    assert set(graphs.paths) == {"float32"}
    network = load_package(bare).network
    fold_normalisation(network, tiny.SPEC)
    np.testing.assert_allclose(graphs.logits["float32"], logits_of(network, graphs.probes), rtol=0, atol=1e-5)
    assert locate(str(tmp_path / "out")).key == key == locate(str(bare)).key


def test_the_manifest_says_by_what_a_graph_was_made(bare: Path, tmp_path: Path) -> None:
    build_package(str(bare), tmp_path / "out")
    versions = json.loads((tmp_path / "out" / GRAPHS_NAME / "manifest.json").read_text())["versions"]
    assert versions["openvino"] == openvino.__version__
    assert versions.keys() == {"vit-serve", "openvino", "torch"}


def test_the_embedded_model_keeps_its_int8_graph_and_gets_float32(tmp_path: Path) -> None:
    _, key = build_package("embedded", tmp_path / "out")
    carried = read_graphs(Path("app/package/pretrained/openvino").resolve(), key)
    graphs = read_graphs(tmp_path / "out" / GRAPHS_NAME, key)
    assert set(graphs.paths) == {"float32", "int8"}
    assert set(carried.paths) == {"int8"}
    assert graphs.paths["int8"].read_bytes() == carried.paths["int8"].read_bytes()
    assert (graphs.logits["int8"] == carried.logits["int8"]).all()
    assert (graphs.probes == carried.probes).all()  # so that what was measured on them stays comparable


def test_an_int8_graph_that_is_carried_is_kept_when_building_again(built: Path, key: str, tmp_path: Path) -> None:
    tiny.with_int8(tiny.copied(built, tmp_path / "first"), key)
    build_package(str(tmp_path / "first"), tmp_path / "second")
    assert set(read_graphs(tmp_path / "second" / GRAPHS_NAME, key).paths) == {"float32", "int8"}


def test_a_package_with_damaged_graphs_is_refused(built: Path, tmp_path: Path) -> None:
    tiny.copied(built, tmp_path / "first")
    (tmp_path / "first" / GRAPHS_NAME / "float32.bin").write_bytes(b"")
    with pytest.raises(PackageError, match=r"float32\.bin: is damaged"):
        build_package(str(tmp_path / "first"), tmp_path / "second")


def test_random_weights_become_a_package_of_their_own(tmp_path: Path) -> None:
    description, key = build_package(f"random:{tiny.NAME}", tmp_path / "out")
    assert (description.architecture, len(description.labels)) == (tiny.NAME, 10)
    assert set(read_graphs(tmp_path / "out" / GRAPHS_NAME, key).paths) == {"float32"}
    assert load_package(tmp_path / "out").labels == description.labels


def test_without_float_the_other_graph_is_left_whole(built: Path, key: str, tmp_path: Path) -> None:
    folder = tiny.with_int8(tiny.copied(built, tmp_path / "out"), key)
    before = read_graphs(folder / GRAPHS_NAME, key)
    leave_out_float(folder, key)
    assert not list(folder.rglob("float32.*"))
    after = read_graphs(folder / GRAPHS_NAME, key)
    assert set(after.paths) == set(after.logits) == {"int8"}
    assert (after.logits["int8"] == before.logits["int8"]).all()
    assert (after.probes == before.probes).all()


def test_what_no_picture_has_as_many_channels_as_is_refused(tmp_path: Path) -> None:
    spec = dataclasses.replace(tiny.SPEC, mean=(0.5,) * 4, std=(0.5,) * 4)
    with pytest.raises(PackageError, match="images of 4 channels"):
        write_graphs(tiny.package_of(tiny.network(in_chans=4), preprocess=spec), "key", tmp_path / "out")
