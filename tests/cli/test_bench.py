"""Owns the tests of `vit-serve bench`: what it says to people and to programs, and how it ends."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.load.contracts import APIS, Asking, path_of
from tests.cli.conftest import ROOT, Command
from tests.load.fake_server import BUSY, OK, Exchange, FakeServer, after, fake_server, never, raw

TIMED = OK.replace(b"\r\n\r\n", b"\r\nServer-Timing: decode;dur=1.5, total;dur=4\r\n\r\n", 1)
MODEL = b'{"name": "vit_x", "engine": "openvino", "lanes": 2, "labels": ["a"]}'
METRICS = (
    b'vit_batch_size_bucket{le="1.0"} %d\nvit_batch_size_bucket{le="2.0"} %d\nvit_batch_size_count %d\n'
    b'vit_batch_size_sum %d\nvit_jobs_total{outcome="result"} %d\nprocess_cpu_seconds_total %d\n'
)
PAGES = [METRICS % (1, 1, 1, 1, 1, 1), METRICS % (3, 5, 5, 7, 7, 2)]
SHORT = ("--seconds", "0.5", "--warm-up", "0.1")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """Answers in 5 ms and tells what vit-serve does."""

    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(0.005)
        await exchange.send(TIMED)

    with fake_server(behave, {"/v1/model": [MODEL], "/metrics": list(PAGES)}) as found:
        yield found


def bench(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["bench", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_table_for_people(server: FakeServer, capsys: pytest.CaptureFixture[str]):
    code, out, _ = bench(capsys, server.url, "--connections", 2, *SHORT)
    assert code == 0
    assert "POST /v1/classify (vit), 4 pictures of 15 kB on average; name vit_x, engine openvino, lanes 2\n" in out
    assert "closed loop, 2 connections, 0.5 s after 0.1 s of warm-up" in out
    assert "1.5 images in a batch on average: 2 up to 1, 2 up to 2" in out
    assert "166.67 ms of the server's CPU time an answer" in out
    assert re.search(r"^ *decode +1\.50 +1\.50 +1\.50 +1\.50$", out, re.MULTILINE)
    assert re.search(r"^! With \d+ answers p99(\.9)? is left to chance", out, re.MULTILINE)
    assert server.requests[0].body.startswith(b"\xff\xd8\xff")
    assert len({each.body for each in server.requests}) == 4


def test_json_for_programs_with_the_exact_words(server: FakeServer, vit_serve: Command):
    done = vit_serve("bench", server.url, "--rate", "100", "--deadline-ms", "500", "--json", "-", *SHORT)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["schema"] == "vit-serve-bench/1"
    assert said["arguments"] == ["bench", server.url, "--rate", "100", "--deadline-ms", "500", "--json", "-", *SHORT]
    assert said["target"]["server"] == {"name": "vit_x", "engine": "openvino", "lanes": 2}
    run = said["run"]
    assert (run["rate"], run["errors"], run["refused"], said["search"]) == (100, {}, 0, None)
    assert 25 < run["sent"] == run["answered"] < 80
    assert 5 <= run["latency_ms"]["p50"] <= run["latency_ms"]["p99_9"] <= run["latency_ms"]["max"]
    assert b"X-Request-Timeout-Ms: 500\r\n" in server.requests[0].head


class _Loads(HTMLParser):
    """What a page would fetch, and what it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched, self.tags = list[str](), list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        links = [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        self.fetched += [link for link in links if not link.startswith("#")]


def test_a_page_that_needs_nothing_else(server: FakeServer, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    page, figures = tmp_path / "report.html", tmp_path / "figures.json"
    url = f"{server.url}/<b>"
    code, out, _ = bench(capsys, url, *SHORT, "--html", page, "--json", figures)
    assert code == 0
    text = page.read_text()
    loads = _Loads(text)
    assert loads.fetched == [] and "@import" not in text and "url(http" not in text
    assert loads.tags.count("svg") == 4
    assert "b" not in loads.tags and "&lt;b&gt;" in text
    rate = json.loads(figures.read_text())["run"]["throughput_per_s"]
    assert f"{rate:,.1f}" in out and f"{rate:,.1f}" in text


@pytest.mark.operations
@pytest.mark.timeout(120)
def test_the_peak_of_a_server_whose_limit_is_known(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """It refuses what comes when thirty came within the last 0.3 s: a hundred a second."""
    came = list[float]()

    async def behave(exchange: Exchange) -> None:
        came.append(time.monotonic())
        recent = len([at for at in came[-100:] if at > came[-1] - 0.3])
        await exchange.send(BUSY if recent > 31 else OK)

    with fake_server(behave) as server:
        page = tmp_path / "report.html"
        arguments = (
            "--find-peak",
            "--rate",
            20,
            "--arrivals",
            "constant",
            "--seconds",
            1,
            "--warm-up",
            0.3,
            "--deadline-ms",
            5000,
        )
        code, out, told = bench(capsys, server.url, *arguments, "--html", page)
    assert code == 0
    match = re.search(r"Peak, for a deadline of 5000 ms: ([0-9.]+)/s is the highest rate that held", out)
    assert match and 50 < float(match[1]) < 130, out
    assert len(re.findall(r"/s: [0-9.]+% in time", told)) >= 4
    assert _Loads(page.read_text()).tags.count("svg") == 3


@pytest.mark.parametrize("api", APIS)
def test_every_api_is_asked_at_its_path_or_at_the_urls(api: str, capsys: pytest.CaptureFixture[str]):
    short = ("--seconds", 0.4, "--warm-up", 0, "--api", api, "--model", "m", "--header", "Authorization: Bearer x")
    with fake_server() as server:
        assert bench(capsys, server.url, *short)[0] == 0
        assert bench(capsys, f"{server.url}/elsewhere?x=1", *short)[0] == 0
        asked = {each.head.split()[1].decode() for each in server.requests}
    assert asked == {path_of(Asking(api, "m")), "/elsewhere?x=1"}
    assert all(b"\r\nAuthorization: Bearer x\r\n" in each.head for each in server.requests)


def test_a_folder_of_the_users_own(capsys: pytest.CaptureFixture[str], pictures: Path):
    with fake_server() as server:
        assert bench(capsys, server.url, "--images", pictures, "--seconds", 0.2, "--warm-up", 0)[0] == 0
    assert {each.body for each in server.requests} == {file.read_bytes() for file in pictures.rglob("*.png")}
    assert b"Content-Type: image/png" in server.requests[0].head


def test_control_c_tells_what_was_measured_so_far(server: FakeServer):
    command = [sys.executable, "-m", "app", "bench", server.url, "--seconds", "600", "--warm-up", "0.1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    until = time.monotonic() + 30
    while len(server.requests) < 200 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert b"of warm-up, interrupted\n" in out
    rate = re.search(rb"^ +([0-9,.]+) +- ", out, re.MULTILINE)
    assert rate and float(rate[1].replace(b",", b"")) > 100
    assert not err


def test_control_c_during_the_search_tells_its_steps(server: FakeServer):
    short = ["--find-peak", "--rate", "10", "--seconds", "0.3", "--warm-up", "0", "--json", "-"]
    command = [sys.executable, "-m", "app", "bench", server.url, *short]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    assert process.stderr and b"in time" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    said: dict[str, Any] = json.loads(out)
    assert process.returncode == 130 and said["interrupted"]
    assert said["search"]["steps"][0]["rate"] == 10


def test_a_server_that_hangs_after_the_first_answer(capsys: pytest.CaptureFixture[str]):
    async def behave(exchange: Exchange) -> None:
        await (exchange.send() if exchange.number == 0 else never(exchange))

    begun_at = time.monotonic()
    with fake_server(behave) as server:
        code, out, _ = bench(capsys, server.url, "--timeout-s", 0.3, *SHORT)
    assert code == 1
    assert re.search(r"Not answered: \d+ x timeout", out)
    assert "! 100.0% of the requests failed" in out
    assert time.monotonic() - begun_at < 10


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno\x1b[31m x"), r"404: no\x1b[31m x"),
        (never, "no answer (timeout)"),
        (raw(b"SSH-2.0\r\n"), "no answer (malformed)"),
    ],
)
def test_what_is_no_such_server_is_told_before_the_load(behave: Any, said: str, capsys: pytest.CaptureFixture[str]):
    with fake_server(behave) as server:
        code, out, err = bench(capsys, server.url, "--timeout-s", 0.3)
    assert (code, out) == (1, "")
    assert err == f"vit-serve: error: POST /v1/classify of 127.0.0.1, port {server.port}: {said}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["http://127.0.0.1:1"], 1, "127.0.0.1, port 1: no connection"),
        (["ftp://x"], 1, "is no address of a server"),
        (["x", "--connections", "0"], 2, "--connections is 0, but it should be 1 …"),
        (["x", "--rate", "nan"], 2, "--rate is nan"),
        (["x", "--seconds", "1e9"], 2, "--seconds is 1e+09"),
        (["x", "--json", "-", "--html", "-"], 2, "cannot both go to standard output"),
        (["x", "--header", "nothing"], 1, "'nothing' is no header"),
    ],
)
def test_misuse_is_told_in_a_line(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]):
    got, out, err = bench(capsys, *arguments)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert said in err


def test_a_file_that_cannot_be_written_comes_after_the_table(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    with fake_server(after(0.001)) as server:
        code, out, err = bench(capsys, server.url, "--seconds", 0.2, "--json", tmp_path / "none" / "x.json")
    assert code == 1 and "answered/s" in out
    assert "it cannot be written" in err
