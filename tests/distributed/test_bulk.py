"""Owns bulk runs on a real cluster of several nodes: every image once, whatever happens; does not measure."""

import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.errors import SetupError
from app.settings import Settings
from tests.distributed.pictures import png, save_png, save_table, save_tar

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


def settings(model: Path | str) -> Settings:
    return Settings(model=str(model), engine="torch", device="cpu", max_wait_ms=1e7, request_timeout_ms=1e7)


def classify(ray: Any, paths: list[Path | str], out: Path, model: Path | str, address: str, **options: Any) -> Any:
    from app.distributed.bulk import Request, classify_in_bulk

    note = options.pop("note", lambda text: None)
    listen = options.pop("listen", lambda progress: None)
    request = Request(tuple(map(str, paths)), str(out), address, **options)
    return classify_in_bulk(request, settings(model), listen, note)


def rows_of(out: Path) -> list[dict[str, Any]]:
    import pyarrow.dataset as dataset

    rows: list[dict[str, Any]] = dataset.dataset(out, format="parquet").to_table().to_pylist()
    return rows


def has_worker(node: Any) -> bool:
    """Whether one of its processes calls itself one of our actors, as Ray has them do."""
    [raylet] = node.all_processes["raylet"]
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == raylet.process.pid and status.with_name("cmdline").read_bytes().startswith(b"ray::Worker"):
                return True
        except OSError:  # it has ended meanwhile
            continue
    return False


def test_a_node_that_dies_in_the_middle_loses_no_image_and_doubles_none(
    ray: Any, cluster: Any, tmp_path: Path, bare: Path
) -> None:
    for number in range(1200):
        save_png(tmp_path / "in" / f"{number:04}.png", number)
    out, killed, notes = tmp_path / "out", list[int](), list[str]()

    def kill() -> None:
        while len(list(out.glob("part-*.parquet"))) < 3:
            time.sleep(0.02)
        # One that has a worker: on a busy machine the other node's may not have begun yet.
        working = next(node for node in cluster.worker_nodes if has_worker(node))
        cluster.remove_node(working, allow_graceful=False)
        killed.append(len(list(out.glob("part-*.parquet"))))

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    progress = classify(ray, [tmp_path / "in"], out, bare, cluster.address, shard_images=10, note=notes.append)
    thread.join()
    assert killed[0] < 120, "it was over before the node died"
    assert notes == ["a worker is gone; others do what it had"]
    counts = Counter(row["id"] for row in rows_of(out))
    assert counts == {str(tmp_path / "in" / f"{number:04}.png"): 1 for number in range(1200)}
    assert (progress.done, progress.images, progress.failed) == (120, 1200, 0)


def test_every_image_is_a_row_and_bad_ones_have_a_code(ray: Any, cluster: Any, folder: Path, bare: Path) -> None:
    save_tar(folder / "more.tar", [("1.png", png(1)), ("2.jpg", b"no picture")])
    save_table(folder / "t.parquet", [png(3), None])
    out = folder / "out"
    progress = classify(ray, [folder], out, bare, cluster.address, shard_images=4, top_k=2)
    rows = {row["id"].removeprefix(f"{folder}/"): row for row in rows_of(out)}
    assert len(rows) == len(rows_of(out)) == 18
    assert {name: row["code"] for name, row in rows.items() if row["code"]} == {
        "a/bad.png": "not_an_image",
        "b/cut.png": "corrupt_image",
        "more.tar#2.jpg": "not_an_image",
        "t.parquet#1": "empty_body",
    }
    assert (progress.images, progress.failed) == (18, 4)
    alike = rows["more.tar#1.png"], rows["a/001.png"]  # the same picture by two ways
    assert alike[0]["predictions"] == alike[1]["predictions"]
    assert all(row["error"] and row["predictions"] is None for row in rows.values() if row["code"])
    assert {len(row["predictions"]) for row in rows.values() if not row["code"]} == {2}

    # Again: nothing. One file gone, pictures added, another model: that file, those pictures, an error.
    before = {part: part.stat().st_mtime_ns for part in out.glob("part-*")}
    assert classify(ray, [folder], out, bare, cluster.address, shard_images=4, top_k=2).images == 0
    sorted(before)[0].unlink()
    save_png(folder / "a" / "new.png", 77)
    again = classify(ray, [folder], out, bare, cluster.address, shard_images=4, top_k=2)
    assert (again.images, again.before) == (5, len(before) - 1)
    assert sorted(row["id"].removeprefix(f"{folder}/") for row in rows_of(out)) == sorted([*rows, "a/new.png"])
    assert all(part.stat().st_mtime_ns == at for part, at in before.items() if part != sorted(before)[0])
    with pytest.raises(SetupError, match="holds answers with top_k 2, not 1"):
        classify(ray, [folder], out, bare, cluster.address, top_k=1)


def test_what_cannot_be_is_one_line(ray: Any, cluster: Any, folder: Path, bare: Path, tmp_path: Path) -> None:
    for model, options, message in (
        (tmp_path / "no_model", {}, "no_model"),
        (bare, {"top_k": 10_000}, "top_k is 10000"),
        (bare, {"worker_cpus": 64}, "--worker-cpus 64: the largest node has 1"),
    ):
        with pytest.raises(SetupError, match=message) as caught:
            classify(ray, [folder], tmp_path / "out", model, cluster.address, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(SetupError, match="no Ray cluster at 127.0.0.1:1: .*refused"):
        classify(ray, [folder], tmp_path / "out", bare, "127.0.0.1:1")


def test_the_command_reads_from_a_web_server_and_tells_how_far_it_is(
    cluster: Any, folder: Path, bare: Path, tmp_path: Path
) -> None:
    save_tar(folder / "more.tar", [("1.png", png(1)), ("2.jpg", b"no picture")])
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        arguments = ["classify", f"{base}/more.tar", f"{base}/a/001.png", "--ray", cluster.address]
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments, "--out", str(tmp_path / "out"), "--model", str(bare)]
            + ["--engine", "torch"],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        server.shutdown()
    assert done.returncode == 1, done.stderr
    assert "2 of 2 files of rows\n3 images, 1 of them without an answer," in done.stdout
    assert "Traceback" not in done.stderr
    rows = {row["id"].removeprefix(base): row["code"] for row in rows_of(tmp_path / "out")}
    assert rows == {"/more.tar#1.png": None, "/more.tar#2.jpg": "not_an_image", "/a/001.png": None}
