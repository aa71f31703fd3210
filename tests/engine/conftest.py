"""Owns what the tests of engines share; does not test."""

from pathlib import Path

import pytest

from tests.engine.opening import Maker, Start, start


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Makes graphs in this process, and nobody measures for long."""
    made = Maker()
    monkeypatch.setattr("app.engine.obtain.make", made)
    monkeypatch.setattr("app.engine.obtain._TORCH_S", 0.01)
    monkeypatch.setattr("app.engine.rank._MEASURE_S", 0.01)
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed."""
    for module in ("choose", "obtain", "open_openvino"):
        monkeypatch.setattr(f"app.engine.{module}.torch_is_installed", lambda: False)


@pytest.fixture(scope="session")
def by_torch(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """What torch says in float32 of the tiny package."""
    return start(bare, tmp_path_factory.mktemp("unused"), engine="torch", precision="float32")
