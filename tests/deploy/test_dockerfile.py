"""Owns the proof of what the Dockerfile says that needs no engine: health check, stages, copies; builds nothing."""

import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer

import hcl2
import pytest
import yaml

from tests.deploy.tools import DEPLOY, ROOT, TARGETS, base_image, output, tool

HealthCheck = Callable[..., int]

# Docker joins lines that end with a backslash, before it reads the command as JSON.
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")


@contextmanager
def readyz(status: int) -> Iterator[int]:
    """The port of a service whose /readyz answers `status`, and everything else 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def health_check(tmp_path_factory: pytest.TempPathFactory) -> HealthCheck:
    """The exit code of the image's own check, compiled with its own flags, in a container with these variables."""
    program = tmp_path_factory.mktemp("health-check") / "health-check"
    (flags,) = re.findall(r"musl-gcc (.*) health-check\.c -o /health-check", DOCKERFILE)
    output(tool("cc"), *flags.replace("-static", "").split(), DEPLOY / "health-check.c", "-o", program)

    def run(**variables: object) -> int:
        environment = {name: str(value) for name, value in variables.items()}
        result = subprocess.run([program], env=environment, capture_output=True, check=False)
        assert (result.returncode == 0) == (result.stdout == b"")
        return result.returncode

    return run


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_port_of_the_service_where_it_is_the_only_one(
    health_check: HealthCheck, status: int, code: int
) -> None:
    with readyz(status) as port:
        assert health_check(VIT_PORT=port) == code
        assert health_check(VIT_PORT=port, VIT_ADMIN_PORT=0) == code
        assert health_check(VIT_PORT=port, VIT_HOST="0.0.0.0", http_proxy="http://127.0.0.1:9") == code


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_admin_port_where_there_is_one(
    health_check: HealthCheck, status: int, code: int
) -> None:
    with readyz(status) as admin, readyz(503 if status == 200 else 200) as port:
        assert health_check(VIT_PORT=port, VIT_ADMIN_PORT=admin) == code


def test_the_health_check_fails_where_nobody_listens_or_another_address_does(health_check: HealthCheck) -> None:
    with readyz(200) as port:
        assert health_check(VIT_PORT=port, VIT_HOST="127.0.0.2") == 1
        assert health_check(VIT_PORT=port, VIT_HOST="no such host") == 1
    assert health_check(VIT_PORT=port) == 1


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_the_health_check_takes_no_other_answer_for_good_and_does_not_wait_for_ever(
    health_check: HealthCheck, answer: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []

        def accept() -> None:
            connection, _ = server.accept()
            connection.sendall(answer)
            accepted.append(connection)  # and never a word again

        thread = threading.Thread(target=accept)
        thread.start()
        assert health_check(VIT_PORT=server.getsockname()[1]) == 1
        thread.join()
        accepted[0].close()


def test_the_port_of_the_service_is_the_default_one_without_a_variable() -> None:
    assert 'variable("VIT_PORT", "8000")' in (DEPLOY / "health-check.c").read_text()
    assert "\nEXPOSE 8000\n" in DOCKERFILE


def test_what_is_copied_is_there_and_let_through_to_the_engine() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [
        line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    copied = {name.rstrip("/") for names in copies for name in names}
    assert {"app", "pyproject.toml", "LICENSE"} <= copied
    assert all(any(fnmatch(name, pattern) for pattern in let_through) for name in copied)
    assert all(any(fnmatch(name, pattern) for name in copied) for pattern in let_through)
    assert all((ROOT / name).exists() for name in copied)


def stages() -> dict[str, list[str]]:
    """Each stage's instructions, from its FROM on, in the order of the file."""
    found: dict[str, list[str]] = {}
    for line in DOCKERFILE.splitlines():
        if line.startswith("FROM "):
            found[line.split()[-1]] = []
        if found and line and not line.startswith("#"):
            list(found.values())[-1].append(line)
    return found


def ancestors(stage: str) -> set[str]:
    """The stages whose files are in one's image, itself among them."""
    lines = stages()[stage]
    own = {lines[0].split()[1], *re.findall(r"COPY --from=(\S+)", "\n".join(lines))} & stages().keys()
    # What is copied is a folder of a stage, and not all that this one was built on.
    return {stage, *own, *(ancestors(lines[0].split()[1]) if lines[0].split()[1] in own else set())}


def test_torch_is_in_the_image_that_is_built_where_none_is_named_and_not_in_the_other() -> None:
    assert list(stages())[-1] == TARGETS[1]
    assert set(TARGETS) <= stages().keys()
    assert ancestors("torch") - ancestors("openvino") == {"torch", "torch-libraries"}
    assert ancestors("openvino") - ancestors("torch") == {"openvino"}


def test_both_images_have_their_user_and_their_command_from_one_stage() -> None:
    for name in ("USER", "ENTRYPOINT", "CMD", "HEALTHCHECK", "EXPOSE", "STOPSIGNAL"):
        assert [stage for stage, lines in stages().items() if any(x.startswith(f"{name} ") for x in lines)] == [
            "runtime"
        ]


def installs() -> list[str]:
    """Every command of the Dockerfile that installs by pip."""
    commands = re.split(r"&&|\n", DOCKERFILE)
    return [each for each in commands if re.search(r"(\$PIP|/pip) install ", each) and not each.startswith("#")]


def test_only_locked_files_are_installed_and_torchs_index_is_asked_for_torch_alone() -> None:
    *locked, service = installs()
    assert len(locked) == 4
    for each in locked:
        assert "--require-hashes --no-deps --only-binary=:all:" in each
    assert "--no-index" in service
    assert "--no-build-isolation" in service
    assert [re.findall(r"-r \"?([^\s\"]+)", each) for each in locked if "index" in each] == [["torch-$TORCH.txt"]]
    assert "EXTRA_INDEX" not in DOCKERFILE
    assert "FIND_LINKS" not in DOCKERFILE
    for stage, lines in stages().items():
        if any("$index" in line or "-r runtime.txt" in line for line in lines):
            assert "ARG PIP_INDEX_URL" in lines, stage


def test_make_holds_what_it_installs_to_the_constraints() -> None:
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if " pip install " in line]
    assert len(lines) >= 2
    assert all(" -c constraints.txt " in line for line in lines)


def test_every_base_is_the_one_image_with_its_digest() -> None:
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base_image())
    bases = {lines[0].split()[1] for lines in stages().values()}
    assert bases - stages().keys() == {"${PYTHON_IMAGE}"}


def bake() -> dict[str, dict[str, object]]:
    """The bake file's targets by name, with what they inherit, as plain values."""
    parsed = hcl2.loads((ROOT / "docker-bake.hcl").read_text())

    def plain(value: object) -> object:
        match value:
            case str():
                return value.strip('"')
            case list():
                return [plain(each) for each in value]
            case dict():
                return {plain(k): plain(v) for k, v in value.items() if not str(k).startswith("__")}
        return value

    targets: dict[str, dict[str, object]] = {}
    for block in parsed["target"]:
        ((name, body),) = plain(block).items()  # type: ignore[attr-defined]  # a dict for a dict
        parents = [targets[parent] for parent in body.pop("inherits", [])]
        targets[name] = {key: value for each in (*parents, body) for key, value in each.items()}
    (group,) = parsed["group"]
    assert plain(group) == {"default": {"targets": [name for name in targets if not name.startswith("_")]}}
    return targets


def test_bake_makes_the_three_images_for_all_platforms_under_the_names_that_compose_gives_them() -> None:
    targets = {name: body for name, body in bake().items() if not name.startswith("_")}
    assert set(targets) == {*TARGETS, "cuda"}
    for name, body in targets.items():
        assert body["platforms"] == ["linux/amd64", "linux/arm64"]
        assert body["dockerfile"] == "Dockerfile"
        assert body["target"] in TARGETS
        assert str(body["tags"]).endswith(f"{name}']")
        assert "vit-serve:" in str(body["tags"])
    gpu = yaml.safe_load((DEPLOY / "docker-compose.gpu.yml").read_text())["services"]["vit-serve"]
    assert (gpu["build"]["target"], gpu["build"]["args"]) == (targets["cuda"]["target"], targets["cuda"]["args"])
    for name in TARGETS:
        assert (targets[name]["target"], targets[name].get("args")) == (name, None)
    assert (DEPLOY / f"locks/torch-{gpu['build']['args']['TORCH']}.txt").exists()


def test_buildx_reads_the_bake_file() -> None:
    if subprocess.run([tool("docker"), "buildx", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no buildx, which Debian 12 does not have")
    output(tool("docker"), "buildx", "bake", "--print", env={"TAG": "1", "REGISTRY": "r/"})


def test_the_licence_is_the_whole_of_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n")
    assert text.rstrip().endswith("limitations under the License.")
    assert [f"   {number}. " in text for number in range(1, 10)] == [True] * 9
    assert len(text.encode()) == 11_358
