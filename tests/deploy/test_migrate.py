"""Owns the proof that what the migration guides tell to type works; does not test what it calls."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.benchmark.server import Server, running
from tests.deploy.tools import DEPLOY, ROOT, tool
from tests.end_to_end.conftest import cat as cat

GUIDES: Final = sorted((DEPLOY / "migrate").glob("*.md"))
CLIENTS: Final = ROOT / ".venv" / "clients" / "bin" / "python"
BY_NAME: Final = ("torchserve", "triton", "litserve", "tensorflow-serving", "huggingface")


def blocks(guide: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)


def commands(guide: Path) -> list[str]:
    return [line for block in blocks(guide, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module", params=GUIDES, ids=lambda guide: guide.stem)
def guide(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def server(guide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What the guide's first command starts."""
    [serve] = [command for command in commands(guide) if " serve " in command]
    [_, *arguments] = shlex.split(serve)
    command = [sys.executable, "-m", "app", *arguments, "--port", "{port}", "--max-wait-ms", "60000"]
    with running(command, tmp_path_factory.mktemp(guide.stem) / "log") as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path, cat: bytes) -> Path:
    (tmp_path / "photo.jpg").write_bytes(cat)
    return tmp_path


def run(command: str | list[str], place: Path) -> str:
    done = subprocess.run(
        command, shell=isinstance(command, str), cwd=place, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(python: Path, code: str, server: Server, place: Path) -> None:
    (place / "example.py").write_text(code.replace("localhost:8000", f"localhost:{server.port}"))
    assert "cat" in run([str(python), "example.py"], place)


def test_there_is_one_for_each() -> None:
    assert {guide.stem for guide in GUIDES} == set(BY_NAME)


def test_its_requests_are_answered(guide: Path, server: Server, place: Path) -> None:
    tool("curl")
    requests = [command for command in commands(guide) if "curl " in command]
    assert len(requests) >= 3 and len(requests) == len(commands(guide)) - 1
    for command in requests:
        here = command.replace("localhost:8000", f"localhost:{server.port}").replace("curl ", "curl -sf ")
        answer = run(here, place)
        assert "photo.jpg" not in command or "cat" in answer, command


def test_its_code_runs(guide: Path, server: Server, place: Path) -> None:
    for code in blocks(guide, "python"):
        run_python(Path(sys.executable), code, server, place)


@pytest.mark.clients
def test_its_code_for_other_clients_runs(guide: Path, server: Server, place: Path) -> None:
    for code in blocks(guide, "python clients"):
        run_python(CLIENTS, code, server, place)


def test_what_it_links_to_exists(guide: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", guide.read_text(encoding="utf-8")):
        assert (guide.parent / target).exists(), target
