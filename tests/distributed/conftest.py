"""Owns the pictures, the folders of them and the cluster that the tests share; does not test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.pictures import save_png

REASON = "Ray is not installed in this environment: `make ray-check` does it"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ray warns of its own deprecated ways, and of sockets that it leaves to the garbage collector."""
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def ray() -> Any:
    """The library; the test is skipped without it, and fails where everything should be installed."""
    try:
        import ray
    except ImportError:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(REASON)
    return ray


@pytest.fixture(scope="session")
def session_cluster(ray: Any) -> Iterator[Any]:
    """A head that computes nothing; all nodes are processes of this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        started(lambda: cluster.add_node(num_cpus=0, include_dashboard=False))
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def cluster(ray: Any, session_cluster: Any) -> Iterator[Any]:
    """With two nodes of one core each."""
    while len(session_cluster.worker_nodes) < 2:
        started(lambda: session_cluster.add_node(num_cpus=1))
    session_cluster.wait_for_nodes()
    yield session_cluster
    ray.shutdown()


def started(start: Callable[[], Any]) -> Any:
    """Ray gives a node thirty seconds, which is little where others compute, too."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            last = error
    raise last


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in two folders, one file that is none, one cut short, a hidden one."""
    root = tmp_path / "in"
    for number in range(12):
        save_png(root / ("a" if number % 2 else "b") / f"{number:03}.png", number)
    (root / "a" / "bad.png").write_bytes(b"no picture")
    (root / "b" / "cut.png").write_bytes((root / "b" / "000.png").read_bytes()[:60])
    (root / ".hidden.png").write_bytes((root / "b" / "000.png").read_bytes())
    (root / "notes.txt").write_text("no picture")
    return root
