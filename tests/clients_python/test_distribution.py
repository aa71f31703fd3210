"""Owns the proof that the client is a distribution of its own, and that its README is true."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.benchmark.server import Server
from tests.deploy.tools import ROOT, output

pytestmark = pytest.mark.timeout(180)  # a server, a wheel and an environment, on a busy machine
SOURCE = ROOT / "clients/python"
README = (SOURCE / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TOLD = (r"^cat 0\.9\d+ high \d", r"^photos/a\.jpg cat$", "^True vit_nano")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a fresh environment with the wheel and what it says it needs, copied from ours: the network is not needed."""
    folder = tmp_path_factory.mktemp("client")
    ignore = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(SOURCE, folder / "source", ignore=ignore)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    output(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, folder / "source")
    [wheel] = folder.glob("*.whl")
    output(sys.executable, "-m", "venv", "--without-pip", folder / "fresh")
    python = folder / "fresh/bin/python"
    output(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)
    site = Path(output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in needed(importlib.metadata.PathDistribution(next(site.glob("*.dist-info")))):
        for file in importlib.metadata.distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), site / file)
    return python


def needed(distribution: importlib.metadata.Distribution) -> set[str]:
    """Names of what it requires, and what that requires."""
    found = set[str]()
    for line in distribution.requires or ():
        requirement = Requirement(line)
        if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
            found |= {requirement.name, *needed(importlib.metadata.distribution(requirement.name))}
    return found


def test_the_wheel_alone_classifies(python: Path, embedded: Server, cat: bytes, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(cat)
    code = f"""
import importlib.util, pathlib, vit_client
assert importlib.util.find_spec("app") is None and importlib.util.find_spec("PIL") is None
assert (pathlib.Path(vit_client.__file__).parent / "py.typed").exists()
with vit_client.Client("http://127.0.0.1:{embedded.port}") as client:
    print(client.classify({str(tmp_path / "photo.jpg")!r}).best.label)
"""
    assert output(python, "-I", "-W", "error", "-c", code) == "cat\n"


def test_the_wheel_holds_the_package_and_the_licence(python: Path) -> None:
    [wheel] = python.parents[2].glob("*.whl")
    names = set(output(sys.executable, "-m", "zipfile", "-l", wheel).split())
    assert {f"vit_client/{path.name}" for path in (SOURCE / "vit_client").glob("*.*")} <= names
    assert any(name.endswith("LICENSE") for name in names) and not any("test" in name for name in names)
    assert (SOURCE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("path", sorted((SOURCE / "vit_client").glob("*.py")), ids=lambda path: path.name)
def test_it_imports_httpx_and_the_standard_library_alone(path: Path) -> None:
    known = {*sys.stdlib_module_names, "httpx", "vit_client"}
    for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 10))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        assert {name.split(".")[0] for name in names} <= known


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cat: bytes) -> Path:
    """A folder with what the README speaks of."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "photos/more").mkdir(parents=True)
    for name in ("photo.jpg", "photos/a.jpg", "photos/more/b.jpg"):
        (folder / name).write_bytes(cat)
    (folder / "photos/broken.jpg").write_bytes(cat[:3000])
    return folder


@pytest.mark.parametrize(("block", "told"), list(zip(BLOCKS, TOLD, strict=True)))
def test_what_the_readme_shows_runs(
    block: str, told: str, python: Path, place: Path, embedded: Server, cat: bytes
) -> None:
    (place / "block.py").write_text(
        block.replace("localhost:8000", f"127.0.0.1:{embedded.port}").replace('b"..."', "open('photo.jpg', 'rb')")
    )
    done = subprocess.run([python, "-I", "block.py"], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(told, done.stdout, re.MULTILINE), done.stdout
    if "photos" in block:
        assert "photos/more/b.jpg cat" in done.stdout and "photos/broken.jpg corrupt_image" in done.stdout


def test_the_readme_is_one_screen() -> None:
    assert len(BLOCKS) == 3 and len(README.splitlines()) <= 72
