"""Owns what all tests share: the engine where a test does not choose one, and a cache of their own; does not test."""

import os
import tempfile
from collections.abc import Iterator

import pytest

from app.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def torch_and_a_cache_of_our_own() -> Iterator[None]:
    """Nobody's cache is read or written; in this process torch computes, so that no graph is exported for each test."""
    with tempfile.TemporaryDirectory(prefix="vit-serve-tests.") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CACHE_DIR", os.environ.get("VIT_CACHE_DIR", folder))
        patch.setattr(Settings.model_fields["engine"], "default", "torch")
        Settings.model_rebuild(force=True)
        yield
    Settings.model_rebuild(force=True)
