"""Owns the tests of graphs/folder.py."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.domain import PreprocessSpec
from app.errors import PackageError
from app.graphs.folder import (
    GRAPHS_NAME,
    Graphs,
    OtherFormat,
    read_description,
    read_graphs,
    write_description,
    write_manifest,
    write_probes,
)
from app.package.description import PackageDescription
from tests.graphs.tiny import copied, same

FILES = ("float32.bin", "float32.xml", "probes.safetensors")
DESCRIPTION = PackageDescription(
    name="vit_pico_patch4_32.tiny",
    architecture="vit_pico_patch4_32",
    labels=("Katze", "köter", "猫"),
    preprocess=PreprocessSpec(32, 48, "lanczos", 0.9, "border", (0.1, 0.2, 0.3), (1.0, 1 / 3, 0.5)),
    sha256="0" * 64,
    temperature=0.7,
    threshold=0.55,
    notice="not to be trusted",
    label_ids=("n01", "n02", "n03"),
    source="hf-hub:us/tiny@0123",
)


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return copied(built / GRAPHS_NAME, tmp_path / "graphs")


def refused(folder: Path, key: str, *words: str) -> None:
    with pytest.raises(PackageError) as caught:
        read_graphs(folder, key)
    assert type(caught.value) is PackageError
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)
    assert "\n" not in str(caught.value)


def rewritten(folder: Path, **fields: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    pixels = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    logits = {name: np.full((2, 3), n + 0.25, np.float32) for n, name in enumerate(("float32", "int8"))}
    for name in logits:
        (tmp_path / f"{name}.xml").write_text(name)
        (tmp_path / f"{name}.bin").write_bytes(name.encode() * 3)
    write_probes(tmp_path, pixels, logits)
    write_manifest(tmp_path, "the key", {"torch": "9"})
    found = read_graphs(tmp_path, "the key")
    assert same(found, Graphs({name: tmp_path / f"{name}.xml" for name in logits}, pixels, logits, "the key"))
    assert found.made_of == "the key"
    assert json.loads((tmp_path / "manifest.json").read_text())["versions"] == {"torch": "9"}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o444 for path in tmp_path.iterdir()} == {0o444}  # also for others


def test_what_export_wrote_is_read(folder: Path, key: str) -> None:
    graphs = read_graphs(folder, key)
    assert list(graphs.paths) == list(graphs.logits) == ["float32"]
    assert graphs.probes.shape == (8, 32, 32, 3)
    assert graphs.logits["float32"].shape == (8, 3)
    assert graphs.logits["float32"].dtype == np.float32


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_byte_is_noticed_wherever_it_is(folder: Path, key: str, name: str) -> None:
    whole = (folder / name).read_bytes()
    for at in (0, len(whole) // 3, len(whole) - 1):
        broken = bytearray(whole)
        broken[at] ^= 1
        (folder / name).write_bytes(broken)
        refused(folder, key, str(folder / name), "damaged", "manifest.json")
    for wrong in (whole[:-1], whole + b"\0", b""):
        (folder / name).write_bytes(wrong)
        refused(folder, key, str(folder / name), "damaged")


@pytest.mark.parametrize("change", [1, 0x20, 0x80, None])
def test_a_damaged_manifest_is_refused_or_says_the_same(folder: Path, key: str, change: int | None) -> None:
    path, whole, expected = folder / "manifest.json", (folder / "manifest.json").read_bytes(), read_graphs(folder, key)
    refusals = 0
    for at in range(0, len(whole), 3):
        broken = bytearray(whole)
        broken[at] = 0 if change is None else broken[at] ^ change
        path.write_bytes(broken)
        try:
            assert same(read_graphs(folder, key), expected)
        except PackageError:
            refusals += 1
    assert refusals > 80


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_named(folder: Path, key: str, name: str) -> None:
    (folder / name).unlink()
    refused(folder, key, name)
    (folder / name).mkdir()
    refused(folder, key, name)


def test_an_empty_folder_and_none_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "key", str(tmp_path), "cannot be read")
    refused(tmp_path / "nowhere", "key", "nowhere", "cannot be read")


def test_graphs_of_another_model_are_refused(folder: Path) -> None:
    refused(folder, "another key", "manifest.json", "another model")


def test_graphs_of_another_format_are_told_apart(folder: Path, key: str) -> None:
    rewritten(folder, format=2)
    with pytest.raises(OtherFormat, match=r"manifest\.json: graphs of format 2, but this version reads 1"):
        read_graphs(folder, key)
    rewritten(folder, format=None)
    with pytest.raises(OtherFormat):
        read_graphs(folder, key)


@pytest.mark.parametrize("digests", [None, [], "none", 3])
def test_a_manifest_without_digests_is_refused(folder: Path, key: str, digests: Any) -> None:
    rewritten(folder, sha256=digests)
    refused(folder, key, "manifest.json", "no digests")


@pytest.mark.parametrize("name", ["../graphs/float32.xml", "/etc/hostname", "", ".", "..", "a\0b", "\udcff", "none"])
def test_a_manifest_names_files_beside_it_only(folder: Path, key: str, name: str) -> None:
    digests = json.loads((folder / "manifest.json").read_text())["sha256"]
    rewritten(folder, sha256={**digests, name: digests["float32.xml"]})
    refused(folder, key)


@pytest.mark.parametrize("unvouched", ["float32.xml", "float32.bin"])
def test_a_graph_that_the_manifest_does_not_vouch_for_is_none(folder: Path, key: str, unvouched: str) -> None:
    digests = json.loads((folder / "manifest.json").read_text())["sha256"]
    del digests[unvouched]
    rewritten(folder, sha256=digests)
    refused(folder, key, "a graph or its probes are missing")


def test_logits_without_their_graph_or_their_pictures_are_refused(folder: Path, key: str) -> None:
    graphs = read_graphs(folder, key)
    write_probes(folder, graphs.probes, {**graphs.logits, "int8": graphs.logits["float32"]})
    write_manifest(folder, key, {})
    refused(folder, key, "a graph or its probes are missing")
    from safetensors.numpy import save_file

    save_file({"logits.float32": graphs.logits["float32"]}, folder / "probes.safetensors")
    write_manifest(folder, key, {})
    refused(folder, key, "a graph or its probes are missing")


@pytest.mark.parametrize("size", [None, 40, (40, 60)])
def test_a_description_comes_back_as_it_was(tmp_path: Path, size: int | tuple[int, int] | None) -> None:
    for description in (
        replace(DESCRIPTION, preprocess=replace(DESCRIPTION.preprocess, resize_px=size)),
        PackageDescription("a", "b", (), PreprocessSpec(), None),
    ):
        write_description(tmp_path, description, 5203)
        assert read_description(tmp_path) == (description, 5203)
        hash(read_description(tmp_path)[0])  # tuples, where JSON has lists


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"parameters": 1}',
        '{"parameters": "many", "preprocess": {}}',
        '{"parameters": 1, "preprocess": []}',
        '{"parameters": 1, "preprocess": {"colour": "red"}}',
        '{"parameters": 1, "preprocess": {}, "name": "a"}',
        '{"parameters": null, "preprocess": {}, "name": "a"}',
    ],
)
def test_what_is_no_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "description.json").write_text(text)
    with pytest.raises(PackageError, match=r"description\.json"):
        read_description(tmp_path)


def test_no_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"description\.json: is no description"):
        read_description(tmp_path)
