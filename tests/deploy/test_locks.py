"""Owns the proof that the lock files say what pyproject.toml asks for, on every platform; does not renew them."""

import hashlib
import importlib.util
import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.conftest import served
from tests.deploy.tools import DEPLOY, ROOT, base_image, output

LOCKS = DEPLOY / "locks"
NAMES = ("build", "runtime", "torch", "torch-cpu", "torch-cuda")
SOURCES = {"pyvips"}  # pure Python, of which its makers publish no wheel
ENTRY = re.compile(
    r"((?:^# \S+\n)+)^(\S+)==(\S+)(?: ; (.*?))? ?((?:\\\n +--hash=sha256:[0-9a-f]{64} ?)+)$", re.MULTILINE
)
AMD64, ARM64 = "x86_64", "aarch64"


def module(name: str) -> ModuleType:
    """A program of the folder of locks, not run."""
    spec = importlib.util.spec_from_file_location(name, LOCKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


renew = module("renew")
renew_base = module("renew_base")


def entries(name: str) -> list[tuple[str, Version, str, list[str]]]:
    """(package, version, marker, files) of a lock, each file with a hash of its own."""
    header, _, text = (LOCKS / f"{name}.txt").read_text().partition("\n\n")
    assert header.startswith("# ")
    found = []
    for match in ENTRY.finditer(text):
        comments, package, version, marker, hashes = match.groups()
        files = [line[2:] for line in comments.splitlines()]
        assert len(files) == hashes.count("sha256:"), package
        found.append((package, Version(version), marker or "", files))
    assert ENTRY.sub("", text).strip() == ""  # no option, no URL, nothing without a hash
    return found


def applies(marker: str, machine: str) -> bool:
    """Whether a requirement with this marker is one on Linux on this kind of machine."""
    environment = {"platform_machine": machine, "sys_platform": "linux", "python_version": "3.11"}
    mark = Requirement(f"x; {marker}").marker if marker else None
    return mark is None or mark.evaluate(environment)


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_is_of_todays_requirements(name: str) -> None:
    assert (LOCKS / f"{name}.txt").read_text().startswith(renew.header()), "make lock"


def test_another_requirement_or_another_pin_is_another_header(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    assert renew.header(tmp_path) == renew.header()
    (tmp_path / "constraints.txt").write_text("torch==2.12.0\n")
    pinned = renew.header(tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        (ROOT / "pyproject.toml").read_text().replace('"uvloop>=0.20', '"uvloop>=0.21')
    )
    assert len({renew.header(), pinned, renew.header(tmp_path)}) == 3


@pytest.mark.parametrize("machine", [AMD64, ARM64])
@pytest.mark.parametrize("torch", ["torch-cpu", "torch-cuda"])
def test_what_the_service_asks_for_is_locked_in_a_version_that_fits(machine: str, torch: str) -> None:
    locks = [each for name in ("build", "runtime", "torch", torch) for each in entries(name)]
    have = {package: version for package, version, marker, _ in locks if applies(marker, machine)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [Requirement(each) for each in [*project["project"]["dependencies"], *project["build-system"]["requires"]]]
    for each in wanted:
        if each.marker is None or each.marker.evaluate({"platform_machine": machine, "sys_platform": "linux"}):
            assert have[canonicalize_name(each.name)] in each.specifier, each


@pytest.mark.parametrize("machine", [AMD64, ARM64])
@pytest.mark.parametrize("name", NAMES)
def test_each_package_has_a_wheel_for_each_platform_that_it_is_for(name: str, machine: str) -> None:
    for package, version, marker, files in entries(name):
        assert not marker or applies(marker, AMD64)  # nothing is for arm64 alone
        wheels = {file: "" for file in files if file.endswith(".whl")}
        if package in SOURCES:
            assert files == [f"{package}-{version}.tar.gz"]
        elif applies(marker, machine):
            assert renew.chosen(wheels, machine), f"{package} {version}: {files}"


def test_only_what_pyproject_leaves_out_there_is_missing_on_arm64() -> None:
    missing = {each[0] for name in NAMES for each in entries(name) if not applies(each[2], ARM64)}
    assert missing == {"cykooz-resizer"}  # Pillow resizes there


def test_torch_is_of_the_pinned_version_and_alone_where_its_own_index_is_asked() -> None:
    (pinned,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    ((package, version, _, _),) = entries("torch-cpu")
    assert (package, str(version)) == ("torch", f"{pinned}+cpu")
    assert {str(each[1]) for each in entries("torch-cuda") if each[0] == "torch"} == {pinned}
    for name in ("build", "runtime", "torch"):
        assert not [each for each in entries(name) if each[0] == "torch" or each[0].startswith(renew.CUDA)]


def test_no_two_locks_differ_about_a_version() -> None:
    versions = {each[:2] for name in ("build", "runtime", "torch", "torch-cuda") for each in entries(name)}
    assert len({package for package, _ in versions}) == len(versions)


def test_the_wheel_that_is_locked_is_the_one_that_pip_likes_best() -> None:
    files = [
        "a-1-cp311-cp311-manylinux_2_17_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_39_x86_64.whl",  # a newer C library than the image has
        "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_17_aarch64.whl",
        "a-1-cp39-abi3-manylinux2014_aarch64.whl",
        "a-1-py3-none-any.whl",
    ]
    hashes = dict.fromkeys(files, "")
    assert renew.chosen(hashes, AMD64) == files[1]
    assert renew.chosen(hashes, ARM64) == files[5]
    assert renew.chosen({files[4]: ""}, ARM64) is None


def wheel(folder: Path, package: str, tag: str, requires: str = "") -> str:
    """The SHA-256 of a wheel of version 1.0 with nothing in it, in a package index of files."""
    path = folder / package / f"{package}-1.0-{tag}.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        info = f"{package}-1.0.dist-info"
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n{needs}")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with (path.parent / "index.html").open("a") as page:
        page.write(f'<a href="{path.name.replace("+", "%2B")}#sha256={sha256}">{path.name}</a>\n')
    return sha256


def test_uv_finds_what_is_needed_and_each_platforms_own_file_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", tmp_path.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    tags = {machine: f"cp311-cp311-manylinux_2_28_{machine}" for machine in (AMD64, ARM64)}
    hashes = [wheel(tmp_path, "native", tag) for tag in tags.values()]
    wheel(tmp_path, "native", "cp312-cp312-manylinux_2_28_x86_64")
    pure = wheel(tmp_path, "pure", "py3-none-any", requires="native; platform_machine == 'x86_64'")
    found = renew.resolved(["pure"], [])
    assert found["native"] == (
        f"# native-1.0-{tags[AMD64]}.whl\nnative==1.0 ; platform_machine != 'aarch64' \\\n    --hash=sha256:{hashes[0]}"
    )
    assert found["pure"] == f"# pure-1.0-py3-none-any.whl\npure==1.0 \\\n    --hash=sha256:{pure}"
    both = renew.resolved(["native"], ["native==1.0"])["native"]
    assert re.findall(r"sha256:(\S+)", both) == hashes
    assert str(tmp_path) not in "".join([both, *found.values()])  # where it came from is nobody's business


def test_a_package_without_a_wheel_for_a_platform_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", tmp_path.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    wheel(tmp_path, "native", "cp311-cp311-manylinux_2_28_x86_64")
    with pytest.raises(SystemExit, match=r"native 1\.0 has no wheel for aarch64|found no versions"):
        renew.resolved(["native"], [])
    with pytest.raises(SystemExit, match="found no versions"):
        renew.resolved(["native>1"], [])


def test_torchs_index_is_read_for_the_version_that_is_not_locked_yet(tmp_path: Path) -> None:
    page = [
        f'<a href="https://example.org/whl/cpu/torch-2.14.0%2Bcpu-{tag}.whl#sha256={sha * 64}">torch</a>'
        for tag, sha in (
            ("cp311-cp311-manylinux_2_28_x86_64", "a"),
            ("cp311-cp311-manylinux_2_28_aarch64", "b"),
            ("cp312-cp312-manylinux_2_28_x86_64", "c"),
        )
    ]
    (tmp_path / "index.html").write_text("\n".join(page))
    with served(tmp_path, 0) as url:
        text = renew.torch_for_cpus("2.14.0", url)
        assert re.findall(r"^torch==(\S+)|sha256:(\w)", text, re.MULTILINE) == [
            ("2.14.0+cpu", ""),
            ("", "a"),
            ("", "b"),
        ]
        (tmp_path / "index.html").write_text("\n".join((page[0], page[2])))
        with pytest.raises(SystemExit, match=r"no torch 2\.14\.0\+cpu for aarch64"):
            renew.torch_for_cpus("2.14.0", url)
    with pytest.raises(SystemExit, match="cannot be read"):
        renew.torch_for_cpus("2.14.0", url)


@pytest.mark.docker
def test_the_list_of_an_image_has_what_its_locks_have(tmp_path: Path) -> None:
    output(LOCKS / "sbom.sh", Path(sys.executable).with_name("cyclonedx-py"), tmp_path)
    for image, extra in (("openvino", ()), ("torch", ("torch", "torch-cpu")), ("cuda", ("torch", "torch-cuda"))):
        listed = json.loads((tmp_path / f"vit-serve-{image}.cdx.json").read_text())
        components = {each["name"]: each for each in listed["components"]}
        locks = [each for name in ("runtime", *extra) for each in entries(name)]
        assert {name: Version(each["version"]) for name, each in components.items()} == {x[0]: x[1] for x in locks}
        assert all(each["externalReferences"][0]["hashes"] for each in components.values())
        index = renew.TORCH_INDEX if image == "torch" else renew.INDEX
        assert image == "openvino" or components["torch"]["externalReferences"][0]["url"] == f"{index}/torch/"


def registry(folder: Path, platforms: tuple[str, ...]) -> tuple[str, str]:
    """The path of a tag's index in a registry of files, and its digest."""
    index = json.dumps({"manifests": [{"platform": {"architecture": each}} for each in platforms]})
    path = folder / "v2/library/python/manifests/3.11-slim-bookworm"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(index)
    return str(path), f"sha256:{hashlib.sha256(index.encode()).hexdigest()}"


def test_the_bases_digest_is_renewed_from_the_registry_where_it_has_all_platforms(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text((ROOT / "Dockerfile").read_text())
    _, digest = registry(tmp_path / "registry", ("amd64", "arm64", "s390x", "unknown"))
    with served(tmp_path / "registry", 0) as url:
        image = renew_base.renew(dockerfile, url.rstrip("/"))
        assert image == f"python:3.11-slim-bookworm@{digest}"
        assert dockerfile.read_text() == (ROOT / "Dockerfile").read_text().replace(base_image(), image)
        registry(tmp_path / "registry", ("amd64",))
        with pytest.raises(SystemExit, match="no image for arm64"):
            renew_base.renew(dockerfile, url.rstrip("/"))
    with pytest.raises(SystemExit, match="cannot be read"):
        renew_base.renew(dockerfile, url.rstrip("/"))
    assert image in dockerfile.read_text()


def test_a_registry_that_wants_a_strangers_token_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    class Answer:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def __enter__(self) -> "Answer":
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

        def read(self) -> bytes:
            return self.body

    def answer(request: Any, timeout: float) -> Answer:
        asked.append((request.full_url, request.get_header("Authorization")))
        if request.full_url.startswith("https://auth.example/"):
            return Answer(b'{"token": "t"}')
        if request.get_header("Authorization") is None:
            challenge = 'Bearer realm="https://auth.example/token",service="r",scope="repository:x:pull"'
            headers: Any = {"WWW-Authenticate": challenge}
            raise renew_base.urllib.error.HTTPError(request.full_url, 401, "", headers, None)
        return Answer(b"index")

    monkeypatch.setattr(renew_base.urllib.request, "urlopen", answer)
    assert renew_base.read("https://r.example/v2/x") == b"index"
    assert [authorization for _, authorization in asked] == [None, None, "Bearer t"]
    assert asked[1][0] == "https://auth.example/token?service=r&scope=repository%3Ax%3Apull"
