"""Owns the processes in which the other libraries run, and their answers; does not compare."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = Path(os.environ.get("PARITY_LIBRARIES", Path(sys.prefix) / "parity"))
# What each needs to be importable. timm imports torchvision, and huggingface_hub, which transformers brings.
NEEDS = {
    "timm": ("timm", "torchvision", "transformers4"),
    "npz": ("timm", "torchvision", "transformers4"),
    "torchvision": ("torchvision",),
    "transformers4": ("transformers4",),
    "transformers5": ("transformers5",),
}


@pytest.fixture(scope="session")
def timm() -> Any:
    """timm, imported into this process."""
    from tests.parity.stand_in import import_timm  # which asks this module where the libraries are

    return import_timm()


@contextmanager
def made(library: str) -> Iterator[Path]:
    """A folder of what the library saved, one subfolder a case; it is deleted afterwards, for it is large."""
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        run_reference("make", library, Path(folder))
        yield Path(folder)


def run_reference(command: str, library: str, folder: Path, script: str = "reference.py") -> None:
    """Runs the script beside this file where the library is installed; skips, or in CI fails, where it is not."""
    paths = [LIBRARIES / name for name in NEEDS[library]]
    if absent := [path.name for path in paths if not path.is_dir()]:
        reason = f"{', '.join(absent)} not installed in {LIBRARIES}: `make parity` does it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *paths])), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / script), command, library, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
