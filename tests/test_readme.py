"""Owns the proof that what the README tells to type works; does not test what it calls."""

import json
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from tests.benchmark.server import Server, running
from tests.deploy.tools import ROOT, tool
from tests.end_to_end.conftest import cat as cat
from tests.end_to_end.conftest import embedded as embedded

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cat: bytes) -> Path:
    """A folder with what the commands speak of."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "photo.jpg").write_bytes(cat)
    Image.new("RGB", (50, 40), "navy").save(folder / "other.png")
    for colour, data in product(("red", "blue"), ("images", "held-out")):
        (folder / data / colour).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (32, 32), colour).save(folder / data / colour / f"{i}.png")
    return folder


def run(command: str, place: Path) -> str:
    done = subprocess.run(command, shell=True, cwd=place, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    run(command.replace("make", "make --dry-run", 1), ROOT)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "curl " in c])
def test_requests_are_answered(command: str, place: Path, embedded: Server) -> None:
    tool("curl")
    answer = json.loads(
        run(command.replace("localhost:8000", f"localhost:{embedded.port}").replace("curl", "curl -sf"), place)
    )
    results = answer.get("results", [answer])
    assert results[0]["predictions"][0]["label"] == "cat"
    assert all("predictions" in result for result in results)


def test_the_answer_shown_is_the_answer_given(place: Path, embedded: Server) -> None:
    [shown] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", README, re.DOTALL)]
    given = embedded.post_image("/v1/classify?top_k=1", (place / "photo.jpg").read_bytes())
    assert set(given) == set(shown)
    assert given["model"] == shown["model"]
    for ours, theirs in zip(shown["predictions"], given["predictions"], strict=True):
        assert (ours["label"], ours["index"]) == (theirs["label"], theirs["index"])
        assert ours["score"] == pytest.approx(theirs["score"], abs=0.03)


@pytest.mark.operations
@pytest.mark.timeout(180)
def test_training_and_serving_the_result(place: Path, tmp_path: Path) -> None:
    [train] = [c for c in COMMANDS if " train " in c]
    [serve] = [c for c in COMMANDS if " serve " in c]
    run(train.replace(".venv/bin", str(BIN)), place)
    [evaluate] = [c for c in COMMANDS if " evaluate " in c]
    assert "top-1" in run(evaluate.replace(".venv/bin", str(BIN)), place)
    command = [part.replace(".venv/bin", str(BIN)).replace("runs/", f"{place}/runs/") for part in serve.split()]
    with running([*command, "--port", "{port}"], tmp_path / "log") as server:
        assert server.get_json("/v1/model")["labels"] == ["blue", "red"]
    [build] = [c for c in COMMANDS if " build " in c]
    assert "mine-built" in run(build.replace(".venv/bin", str(BIN)), place)
    [quantize] = [c for c in COMMANDS if " quantize " in c]
    for i, colour in product(range(40), ("red", "blue")):
        Image.new("RGB", (32, 32), colour).save(place / "images" / colour / f"more{i}.png")
    assert "accuracy (top-1): 100.00%, 100.00%" in run(quantize.replace(".venv/bin", str(BIN)), place)


def test_the_command_line_and_the_library_agree(place: Path) -> None:
    classify, many = (c.replace(".venv/bin", str(BIN)) for c in COMMANDS if " classify " in c)
    assert "cat" in run(classify, place)
    (place / "photos").mkdir()
    (place / "more/less").mkdir(parents=True)
    for copy in ("photos/1.jpg", "more/2.jpg", "more/less/3.jpg"):
        (place / copy).write_bytes((place / "photo.jpg").read_bytes())
    run("tar -cf shards.tar -C photos 1.jpg", place)
    for _ in range(2):  # the second time there is nothing to do
        run(many, place)
        assert (place / "answers.jsonl").read_text().count('"label": "cat"') == 4
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (place / "example.py").write_text(code)
    assert run(f"PYTHONPATH={ROOT} {sys.executable} example.py", place).strip() == "cat"


def test_the_load_generator_makes_its_report(place: Path, embedded: Server) -> None:
    [bench] = [c for c in COMMANDS if " bench " in c]
    command = bench.replace(".venv/bin", str(BIN)).replace("localhost:8000", f"localhost:{embedded.port}")
    assert "p99" in run(command.replace("--seconds 10", "--seconds 1"), place)
    assert "<svg" in (place / "report.html").read_text(encoding="utf-8")


def test_inspecting_draws(place: Path) -> None:
    [inspect] = [c for c in COMMANDS if " inspect " in c]
    assert "patch_embed.proj" in run(inspect.replace(".venv/bin", str(BIN)), place)
    assert len(list((place / "pictures").glob("*.png"))) == 4


def test_no_command_is_left_untested() -> None:
    known = ("make ", "curl ", "echo ", ".venv/bin/vit-serve ", ".venv/bin/pip install -c constraints.txt -e '.[")
    assert COMMANDS and all(command.startswith(known) for command in COMMANDS)


def test_every_file_it_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
