"""Owns the folder of results: whole files, one run's, in object stores too; needs pyarrow, but no cluster."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import SetupError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray")]


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    from app.distributed.places import output_place
    from app.distributed.store import Store

    name = str(tmp_path / "out") if request.param == "folder" else f"memory://{tmp_path.name}/out"
    return Store(output_place(name))


def row(name: str, code: str | None = None) -> dict[str, Any]:
    predictions = None if code else [{"label": "cat", "index": 0, "score": 0.5, "id": None}]
    return {"id": name, "source": name, "predictions": predictions, "code": code, "error": code and "why"}


def test_a_shard_is_there_once_it_is_written_and_says_what_is_in_it(store: Any) -> None:
    assert store.done() == set()
    assert store.outcome("0000-000000") is None
    first = store.write("0000-000000", [row("a"), row("b", "not_an_image")])
    again = store.write("0000-000000", [row("a"), row("b", "not_an_image")])
    assert store.done() == {"0000-000000"}
    assert store.outcome("0000-000000") == first == again
    assert (first.images, first.failed) == (2, 1)
    assert store.write("0000-000001", []).images == 0
    assert not [name for name in store.folder.files() if name.endswith(".partial")]


def test_a_folder_is_of_one_model_and_one_set_of_options(store: Any) -> None:
    store.claim({"model": "a", "sha256": "1", "top_k": 5})
    store.claim({"model": "a", "sha256": "1", "top_k": 5})
    with pytest.raises(SetupError, match="holds answers with top_k 5, not 3: name another folder"):
        store.claim({"model": "a", "sha256": "1", "top_k": 3})


def test_plans_are_added_and_never_changed(store: Any) -> None:
    from app.distributed.plan import Shard

    first = [Shard("0000-000000", "files", ("/a/\udcff.png", "/a/b.png"))]
    store.add_plan(0, first)
    with pytest.raises(SetupError, match="another run is writing there"):
        store.add_plan(0, [])
    store.add_plan(1, [Shard("0001-000000", "parquet", ("/t.parquet",), (0, 3))])
    assert store.plans() == [first, [Shard("0001-000000", "parquet", ("/t.parquet",), (0, 3))]]


def test_a_node_that_does_not_see_the_folder_says_so(store: Any) -> None:
    with pytest.raises(SetupError, match="every node sees"):
        store.run()


def test_a_half_written_file_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from app.distributed.places import place

    def fail(_: int) -> None:
        raise OSError("no space")

    place(str(tmp_path / "a")).write(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        place(str(tmp_path / "a")).write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
