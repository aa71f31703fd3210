"""Owns the way to programs that the tests need and pip cannot install; does not install them."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NoReturn

import pytest

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
IMAGE: Final = "vit-serve-test"
TARGETS: Final = ("openvino", "torch")  # of the Dockerfile: the image without torch, and the full one


def missing(reason: str) -> NoReturn:
    """Skips, as a user's machine need not have everything; fails in CI, where a skipped test is a test that is gone."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and in CI it must be there", pytrace=False)
    pytest.skip(reason)


def tool(name: str) -> str:
    """The path of a program; skips or fails without it."""
    return shutil.which(name) or missing(f"{name} is not installed")


def output(
    *command: str | Path, stdin: bytes | None = None, env: dict[str, str] | None = None, timeout_s: float = 60
) -> str:
    """What a command prints, both streams; fails the test, with that, if its exit code is not 0.

    `env` goes on top of this process's environment.
    """
    result = subprocess.run(
        command,
        cwd=ROOT,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | (env or {}),
        timeout=timeout_s,
        check=False,
    )
    text = result.stdout.decode(errors="replace")
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{text[-4000:]}"
    return text


def docker(*arguments: str, timeout_s: float = 60) -> str:
    """What `docker …` prints."""
    return output(tool("docker"), *arguments, timeout_s=timeout_s).strip()


def base_image() -> str:
    """The Dockerfile's Python image, `name:tag@sha256:…`; the engine here has it, or a stand-in, under `name:tag`."""
    (image,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return str(image)
