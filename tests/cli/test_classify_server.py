"""Owns `vit-serve classify --url` against a real server; does not test the server."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.cli import classify_file, classify_model
from app.cli.main import main
from tests.cli.conftest import ROOT
from tests.training.pictures import plain, write_files

pytestmark = pytest.mark.operations


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@contextmanager
def served(port: int, *options: str) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "app", "serve", "--model", "noop", "--port", str(port), *options]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        yield url
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {f"{number:03}.png": plain(number % 256) for number in range(200)}
    return write_files(tmp_path / "in", files | {"100.png": b"no picture"})


def test_an_overloaded_server_answers_all_in_the_end(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out.jsonl"
    with served(free_port(), "--slots", "2", "--max-images-per-request", "1") as url:
        assert main(["classify", str(folder), "--url", url, "--out", str(out), "--top-k", "2"]) == 1
        assert "of 200 images could not be classified: 1 not_an_image" in capsys.readouterr().err
        refused = httpx.get(f"{url}/metrics").text
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["path"] for row in rows] == [str(folder / f"{number:03}.png") for number in range(200)]
    assert [row["path"][-7:] for row in rows if "code" in row] == ["100.png"]
    assert {len(row["predictions"]) for row in rows if "predictions" in row} == {2}
    assert 'vit_requests_total{code="503",route="/v1/classify"}' in refused


def test_a_server_that_goes_ends_the_run_which_goes_on_when_it_is_back(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(classify_model, "_GONE_S", 0.5)
    out, port = tmp_path / "out.csv", free_port()
    command = ["classify", str(folder), "--url", f"http://127.0.0.1:{port}", "--out", str(out), "--resume"]
    assert main(command) == 1
    assert "no server answers there" in capsys.readouterr().err
    assert not out.exists()
    with served(port):
        assert main(command) == 1
    assert main([*command, "--retry-failed"]) == 1
    assert "no server answers there" in capsys.readouterr().err
    with served(port):
        assert main(command) == 0
    assert "0 images, 200 were there" in capsys.readouterr().err


def test_a_server_that_goes_in_the_middle_leaves_no_failed_rows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(classify_model, "_GONE_S", 0.5)
    monkeypatch.setattr(classify_file, "_EVERY_S", 0.0)
    pipe, out = tmp_path / "list", tmp_path / "out.jsonl"
    os.mkfifo(pipe)

    def rows() -> list[str]:
        return out.read_text().splitlines() if out.exists() else []

    with ExitStack() as stack, ThreadPoolExecutor(1) as threads:
        url = stack.enter_context(served(free_port()))

        def write() -> None:
            with pipe.open("w") as file:
                file.writelines(f"{folder}/{number:03}.png\n" for number in range(50))
                file.flush()
                while len(rows()) < 50:
                    time.sleep(0.02)
                stack.close()
                file.writelines(f"{folder}/{number:03}.png\n" for number in range(150, 200))

        written = threads.submit(write)
        assert main(["classify", "--from-list", str(pipe), "--url", url, "--out", str(out)]) == 1
        written.result()
    assert "no server answers there" in capsys.readouterr().err
    assert len(rows()) == 50 and not any("code" in json.loads(row) for row in rows())


def test_images_on_a_web_server_are_answered_here(folder: Path, capsys: pytest.CaptureFixture[str]):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        names = [f"{url}/000.png", f"{url}/none.png"]
        code = main(["classify", *names, "--model", "noop", "--format", "jsonl"])
        server.shutdown()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["path"], row.get("code")) for row in rows] == [(names[0], None), (names[1], "unreadable_url")]
    assert code == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url", "ftp://x"], "ftp://x: is no address of a server"),
        (["--url", "http://x", "--model", "noop"], "--model is the server's: it goes without --url"),
        (["--resume"], "--resume goes with --out"),
        (["--out", "x", "--retry-failed"], "--retry-failed goes with --resume"),
        (["--out", "x", "--format", "table"], "--format table goes without --out"),
        (["--format", "parquet"], "--format parquet needs --out"),
    ],
)
def test_options_that_contradict_are_told(options: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["classify", "a.png", *options]) in (1, 2)
    assert message in capsys.readouterr().err


def test_without_an_input_one_line_says_so(capsys: pytest.CaptureFixture[str]):
    assert main(["classify"]) == 2
    assert "name at least one PATH" in capsys.readouterr().err
