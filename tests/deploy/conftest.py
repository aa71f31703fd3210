"""Owns the images that these tests build, once for all of them; does not run them."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.deploy.tools import IMAGE, ROOT, TARGETS, base_image, docker, missing, output, tool

FIRST_PORT = 47_811  # the same each time, if it is free: the URL is in the key of every layer that pip fills


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder as a package index that has torch alone, and says nothing about it."""

    def translate_path(self, path: str) -> str:
        """The folder itself for /torch/, its files below that."""
        return super().translate_path(path.removeprefix("/torch"))

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pip tells what it fetched."""


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """The URL of a folder, on this machine only; a build on the host's network can reach it."""
    handler = partial(QuietHandler, directory=folder)
    try:
        http = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:  # somebody has it
        http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with http as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def pip_option(name: str) -> list[str]:
    """What pip is told on this machine, by its files and its environment."""
    lines = output(sys.executable, "-m", "pip", "config", "list").splitlines()
    options = (line.partition("=") for line in lines)
    return [word for key, _, value in options if key.endswith(f".{name}") for word in value.strip("'").split()]


@pytest.fixture(scope="session")
def images() -> Iterator[dict[str, str]]:
    """The images by target, as the Dockerfile makes them from this checkout, with torch's CPU build.

    They share all layers but torch's, so that the second takes little time. torch's build is taken from this machine's
    own disk where pip is told of one, as torch's index may be out of reach; it must be the very file that is locked.
    """
    if subprocess.run([tool("docker"), "info"], capture_output=True, check=False).returncode != 0:
        missing("no Docker engine answers")
    folders = [Path(word) for word in pip_option("find-links") if any(Path(word).glob("torch-*.whl"))]
    with ExitStack() as stack:
        options = {"PYTHON_IMAGE": base_image().partition("@")[0], "PIP_INDEX_URL": os.environ.get("PIP_INDEX_URL", "")}
        if folders:
            options["TORCH_INDEX_URL"] = stack.enter_context(served(folders[0], FIRST_PORT))
        arguments = [f"--build-arg={name}={value}" for name, value in options.items() if value]
        tags = {target: f"{IMAGE}:{target}" for target in TARGETS}
        for target, tag in tags.items():
            named = [] if target == "torch" else [f"--target={target}"]  # it is what is built where none is named
            docker("build", "--network=host", f"--tag={tag}", *named, *arguments, str(ROOT), timeout_s=1200)
    yield tags
    docker("rmi", *tags.values())


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """Which image a test is about; each in its turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def image(images: dict[str, str], target: str) -> str:
    """The name of that image."""
    return images[target]
