"""Owns the tests of graphs/library.py."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONVERTS = """
import sys
from pathlib import Path
from app.graphs.build import build_package
build_package(sys.argv[1], Path(sys.argv[2]))
found = [name for name in sys.modules if name.startswith("openvino_telemetry") and sys.modules[name] is not None]
assert not found, found
assert "openvino" in sys.modules
"""


def test_nobody_is_told_of_a_conversion_and_nothing_is_written_to_the_home_directory(
    bare: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    done = subprocess.run(
        [sys.executable, "-c", CONVERTS, bare, tmp_path / "out"],
        cwd=ROOT,
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "openvino" / "float32.xml").is_file()
    assert list(home.rglob("*")) == []
