"""Owns the measurement of `vit-serve convert` on ViT-B/16: time and memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.checkpoints.export import export_package
from app.checkpoints.own import save_package
from app.checkpoints.sources import load_model

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]
MAX_SECONDS, MAX_COPIES = 10, 3
FILES = {"timm": "out.pth", "hf": "out.safetensors", "torchvision": "out.pth", "npz": "out.npz"}
# Runs the command in its own process and says how much memory that took at most, in KiB, and seconds of a core.
MEASURED = (
    "import re, resource, sys\n"
    "from app.cli.main import main\n"
    "code = main(sys.argv[1:])\n"
    "used = resource.getrusage(resource.RUSAGE_SELF)\n"
    # not ru_maxrss, which begins with what the process had that started this one
    "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
    "sys.stderr.write(f'{peak} {used.ru_utime + used.ru_stime}')\n"
    "sys.exit(code)\n"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_package(folder / "package", load_model("random:vit_base_patch16_224"))
    return folder


def measure(*arguments: str) -> tuple[float, int]:
    """(seconds of a core, for others' work is not ours; bytes at most) of one command."""
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak_kib, seconds = done.stderr.split()
    return float(seconds), int(peak_kib) * 1024


@pytest.mark.parametrize("kind", FILES)
def test_convert_of_a_base_model(kind: str, package: Path, tmp_path: Path):
    source = tmp_path / FILES[kind]
    export_package(package / "package", kind, source)
    size = source.stat().st_size
    seconds, peak = measure("convert", str(source), str(tmp_path / "package"))
    back_seconds, back_peak = measure(
        "convert", "--to", kind, str(tmp_path / "package"), str(tmp_path / f"b_{source.name}")
    )
    print(
        f"\n{kind}: {size / 2**20:.0f} MiB in {seconds:.1f} s and {peak / 2**20:.0f} MiB ({peak / size:.2f} times the "
        f"file); back in {back_seconds:.1f} s and {back_peak / 2**20:.0f} MiB ({back_peak / size:.2f} times)"
    )
    assert max(seconds, back_seconds) < MAX_SECONDS
    assert max(peak, back_peak) < MAX_COPIES * size
