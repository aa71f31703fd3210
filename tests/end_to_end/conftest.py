"""Owns the real servers that these tests talk to; does not test."""

import io
from collections.abc import Iterator

import pytest
import skimage.data
from PIL import Image

from tests.benchmark.server import Server, running, service


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded model behind a real port."""
    command = [*service("embedded"), "--max-wait-ms", "60000", "--max-body-bytes", "1000000"]
    with running(command, tmp_path_factory.mktemp("embedded") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def cat() -> bytes:
    """A CC0 photograph of a cat, as scikit-image ships it, as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.chelsea()).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
