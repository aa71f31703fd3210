"""Owns the lock files beside it: which file of each package the image installs; does not install anything.

`make lock` runs it. It asks uv for the newest versions that pyproject.toml and constraints.txt allow on every platform
that we build for, and writes the hash of the one file that pip takes there, not those of all files of a release.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

ROOT: Final = Path(__file__).parents[2]
LOCKS: Final = Path(__file__).parent
MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}  # Docker's name of a platform: Python's
PYTHON: Final = (3, 11)
GLIBC_MINOR: Final = 36  # 2.36, Debian 12's
INDEX: Final = "https://pypi.org/simple"
TORCH_INDEX: Final = "https://download.pytorch.org/whl/cpu"
LEFT_OUT: Final = (
    "openvino-telemetry",
)  # OpenVINO's reports to its makers, which vit-serve never imports: nor can others
CUDA: Final = ("cuda-", "nvidia-", "triton")  # how the names of what only torch's CUDA build needs begin

Files = dict[str, str]  # a file's name: its SHA-256


def inputs(root: Path = ROOT) -> dict[str, list[str]]:
    """What the locks follow from: the requirements of the service, of its build, and the pins of constraints.txt."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    lines = (line.strip() for line in (root / "constraints.txt").read_text().splitlines())
    return {
        "runtime": sorted(project["project"]["dependencies"]),
        "build": sorted(project["build-system"]["requires"]),
        "constraints": [line for line in lines if line and not line.startswith("#")],
    }


def header(root: Path = ROOT) -> str:
    """The first lines of each lock file, with the SHA-256 of what the locks follow from."""
    digest = hashlib.sha256(json.dumps(inputs(root), sort_keys=True).encode()).hexdigest()
    return f"# Written by `make lock`; not to be edited.\n# of {digest}\n"


def wheel_tags(machine: str) -> dict[Tag, int]:
    """What the image's Python installs on a machine, and its rank; 0 is the one it likes best."""
    glibc = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR, 4, -1)]
    platforms = [*glibc, *(f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1", "linux"))]
    interpreter = f"cp{PYTHON[0]}{PYTHON[1]}"
    ordered = [*cpython_tags(PYTHON, platforms=platforms), *compatible_tags(PYTHON, interpreter, platforms)]
    return {tag: rank for rank, tag in reversed(list(enumerate(ordered)))}


def chosen(files: Files, machine: str) -> str | None:
    """The wheel among `files` that pip takes on a machine; None if none fits."""
    rank = wheel_tags(machine)
    fitting = [
        (min(rank[tag] for tag in tags), name)
        for name, tags in ((name, parse_wheel_filename(name)[3] & rank.keys()) for name in files)
        if tags
    ]
    return min(fitting)[1] if fitting else None


def locked(name: str, version: str, files_by_machine: dict[str, Files]) -> str:
    """A requirement with the hashes of its files, under their names in the same order."""
    files = {file: sha256 for each in files_by_machine.values() for file, sha256 in each.items()}
    only = set(MACHINES.values()) - files_by_machine.keys()
    marker = "".join(f" ; platform_machine != '{machine}'" for machine in sorted(only))
    names = "".join(f"# {file}\n" for file in files)
    return f"{names}{name}=={version}{marker}" + "".join(f" \\\n    --hash=sha256:{each}" for each in files.values())


def entry(package: dict[str, Any], machines: Iterable[str]) -> str:
    """A package of a pylock as a locked requirement: a wheel for each machine, or the source where it has no wheels.

    Raises:
        SystemExit: it has wheels, but none for a machine.
    """
    wheels = {unquote(each["url"].rpartition("/")[2]): each["hashes"]["sha256"] for each in package.get("wheels", [])}
    by_machine: dict[str, Files] = {}
    for machine in machines:
        wheel = chosen(wheels, machine)
        if wheel is None and wheels:
            sys.exit(
                f"{package['name']} {package['version']} has no wheel for {machine}: leave it out there by a marker"
            )
        source = package["sdist"] if wheel is None else {}
        source_name = unquote(source.get("url", "").rpartition("/")[2])
        by_machine[machine] = {source_name: source["hashes"]["sha256"]} if wheel is None else {wheel: wheels[wheel]}
    return locked(package["name"], package["version"], by_machine)


def resolved(requirements: list[str], constraints: list[str]) -> dict[str, str]:
    """Every package that the requirements come to, as locked requirements by name, less what is left out.

    Raises:
        SystemExit: uv is missing or found no versions that fit together; it has told why.
    """
    environments = [f"sys_platform == 'linux' and platform_machine == '{each}'" for each in MACHINES.values()]
    project = (
        f'[project]\nname = "locked"\nversion = "0"\nrequires-python = "=={PYTHON[0]}.{PYTHON[1]}.*"\n'
        f"dependencies = {json.dumps(requirements)}\n[tool.uv]\nenvironments = {json.dumps(environments)}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(project)
        (Path(folder) / "constraints.txt").write_text("\n".join(constraints))
        options = ("--universal", f"--python-version={PYTHON[0]}.{PYTHON[1]}", "--format=pylock.toml", "--quiet")
        uv = (sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "-c", "constraints.txt")
        environment = {"UV_DEFAULT_INDEX": INDEX} | os.environ
        if subprocess.run([*uv, *options, "-o", "pylock.toml"], cwd=folder, env=environment, check=False).returncode:
            sys.exit("uv found no versions for the image: see above. It comes with `make setup`")
        packages = tomllib.loads((Path(folder) / "pylock.toml").read_text())["packages"]
    found: dict[str, str] = {}
    for package in packages:
        marker = Marker(package.get("marker", "python_version > '3'"))
        version = {"python_version": "3.11", "python_full_version": "3.11.9", "implementation_name": "cpython"}
        machines = [
            machine
            for machine in MACHINES.values()
            if marker.evaluate({**version, "platform_machine": machine, "sys_platform": "linux"})
        ]
        if machines:
            found[package["name"]] = "\n".join(filter(None, (found.get(package["name"]), entry(package, machines))))
    return {name: text for name, text in found.items() if name not in LEFT_OUT}


def torch_for_cpus(version: str, index: str = TORCH_INDEX) -> str:
    """torch's CPU build of a version, which only torch's own index has, as a locked requirement.

    Raises:
        SystemExit: the index cannot be reached, or lacks the version for a machine.
    """
    url = f"{index.rstrip('/')}/torch/"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            page = answer.read().decode()
    except (urllib.error.URLError, TimeoutError) as error:
        sys.exit(f"{url} cannot be read ({error}), and torch-cpu.txt is of another version than {version}: try again")
    links = re.findall(r'href="([^"#]+)#sha256=([0-9a-f]{64})"', page)
    files = {unquote(link.rpartition("/")[2]): sha256 for link, sha256 in links}
    files = {name: sha256 for name, sha256 in files.items() if name.startswith(f"torch-{version}+cpu-")}
    by_machine = {machine: chosen(files, machine) for machine in MACHINES.values()}
    if missing := [machine for machine, wheel in by_machine.items() if wheel is None]:
        sys.exit(
            f"{url} has no torch {version}+cpu for {' and '.join(missing)}: name another version in constraints.txt"
        )
    wheels = {machine: {name: files[name]} for machine, name in by_machine.items() if name is not None}
    return locked("torch", f"{version}+cpu", wheels)


def write(name: str, entries: Iterable[str]) -> None:
    """One lock file."""
    path = LOCKS / f"{name}.txt"
    path.write_text(header() + "\n" + "\n".join(entries) + "\n")
    sys.stdout.write(f"{path.relative_to(ROOT)}: {path.read_text().count('==')} packages\n")


def main() -> None:
    """Renews all lock files."""
    wanted = inputs()
    everything = resolved(wanted["runtime"] + wanted["build"], wanted["constraints"])
    pins = re.findall(r"^(\S+==\S+(?: ;[^\\\n]+)?)", "\n".join(everything.values()), re.MULTILINE)
    without_torch = resolved([each for each in wanted["runtime"] if not re.match(r"torch\b", each)], pins)
    build = resolved(wanted["build"], pins)
    only_torch = {name: text for name, text in everything.items() if name not in without_torch and name != "torch"}
    (version,) = re.findall(r"^torch==(\S+)", everything["torch"], re.MULTILINE)
    cuda = {name: text for name, text in only_torch.items() if name.startswith(CUDA)}
    write("build", build.values())
    write("runtime", without_torch.values())
    write("torch", (text for name, text in only_torch.items() if name not in cuda))
    write("torch-cuda", [everything["torch"], *cuda.values()])
    # A file that was published is never another, so its index is asked only for a version that is not locked yet.
    path = LOCKS / "torch-cpu.txt"
    old = path.read_text() if path.exists() else ""
    kept = old.partition("\n\n")[2].strip() if f"\ntorch=={version}+cpu " in old else ""
    write("torch-cpu", [kept or torch_for_cpus(version)])


if __name__ == "__main__":
    main()
