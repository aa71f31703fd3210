"""Owns the ways to start a container, to talk to it and to ask the engine about it; does not build images."""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.deploy.tools import docker

# May write nowhere, not even to /tmp, and do nothing that root might.
LOCKED_IN: Final = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
MEMORY: Final = {"openvino": "512m", "torch": "2g"}


def picture(side_px: int = 64) -> bytes:
    """Noise as a PNG, so that its size in bytes is about that of its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def cat() -> bytes:
    """A CC0 photograph of a cat, as scikit-image ships it, as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.chelsea()).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def python(image: str, script: str, *options: str) -> str:
    """What a script prints in an image."""
    return docker("run", "--rm", "--entrypoint=python", *options, image, "-c", script)


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows about a container."""
    (about,) = json.loads(docker("inspect", container))
    assert isinstance(about, dict)
    return about


def wait_until(happened: Callable[[], bool], container: str, what: str) -> None:
    """Fails with the container's log if it ends first, or does not come within three minutes."""
    until = time.monotonic() + 180
    while not happened():
        if time.monotonic() > until or not inspect(container)["State"]["Running"]:
            pytest.fail(f"the container is not {what}:\n{docker('logs', container)[-4000:]}")
        time.sleep(0.2)


@contextmanager
def client_of(container: str) -> Iterator[httpx.Client]:
    """A client of the port that the engine chose, once the service is ready."""
    ((binding,),) = (bound for bound in inspect(container)["NetworkSettings"]["Ports"].values() if bound)
    with httpx.Client(base_url=f"http://127.0.0.1:{binding['HostPort']}", trust_env=False) as client:

        def ready() -> bool:
            try:
                return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(ready, container, "ready")
        yield client


@contextmanager
def started(image: str, *options: str) -> Iterator[str]:
    """The id of a container that serves, locked in."""
    name = docker("run", "--detach", "--publish=127.0.0.1::8000", *LOCKED_IN, *options, image)
    try:
        yield name
    finally:
        docker("rm", "--force", name)


@contextmanager
def volume() -> Iterator[str]:
    """The name of an empty volume."""
    name = docker("volume", "create")
    try:
        yield name
    finally:
        docker("volume", "rm", name)
