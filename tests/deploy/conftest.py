"""Owns the image that these tests build, once for all of them; does not run it."""

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

from tests.deploy.tools import ROOT, docker, missing, output, tool

IMAGE = "vit-serve-test"


class QuietHandler(SimpleHTTPRequestHandler):
    """Lists and serves a folder, and says nothing about it."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pip tells what it fetched."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a folder, on this machine only; a build on the host's network can reach it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
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
def image() -> Iterator[str]:
    """The image as the Dockerfile makes it from this checkout, with torch's CPU build.

    Wheels that pip finds on this machine's own disk are found by the build too, which may otherwise need the network.
    """
    if subprocess.run([tool("docker"), "info"], capture_output=True, check=False).returncode != 0:
        missing("no Docker engine answers")
    folders = {Path(word) for word in pip_option("find-links") if Path(word).is_dir()}
    with ExitStack() as stack:
        urls = [stack.enter_context(served(folder)) for folder in sorted(folders)]
        options = {
            "PIP_FIND_LINKS": " ".join(urls),
            "PIP_INDEX_URL": os.environ.get("PIP_INDEX_URL", ""),
            "PIP_EXTRA_INDEX_URL": "" if urls else "https://download.pytorch.org/whl/cpu",
        }
        arguments = [f"--build-arg={name}={value}" for name, value in options.items() if value]
        docker("build", "--network=host", f"--tag={IMAGE}", *arguments, str(ROOT), timeout_s=1200)
    yield IMAGE
    docker("rmi", IMAGE)
