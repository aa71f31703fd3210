"""Owns what all tests share: the engine where a test does not choose one, a cache and models; does not test."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny package of `tests.graphs.tiny` without a graph; not to be changed."""
    from tests.graphs.tiny import saved

    return saved(tmp_path_factory.mktemp("bare") / "tiny")


@pytest.fixture(scope="session")
def built(bare: Path) -> Path:
    """The same with its float32 graph; not to be changed."""
    from app.graphs.build import build_package

    build_package(str(bare), bare.parent / "built")
    return bare.parent / "built"


@pytest.fixture(scope="session")
def key(bare: Path) -> str:
    """The key of both."""
    from app.checkpoints.located import locate

    return locate(str(bare)).key
