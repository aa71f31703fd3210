"""Owns the proof of what the Dockerfile says that needs no engine: health check, stages, copies; builds nothing."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.deploy.tools import ROOT, TARGETS

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


def health_check(**variables: object) -> int:
    """The exit code of the image's own check in a container with these variables."""
    (line,) = (line for line in DOCKERFILE.splitlines() if line.startswith("HEALTHCHECK"))
    python, *arguments = json.loads(line.partition(" CMD ")[2])
    assert python == "python"
    environment = {name: str(value) for name, value in variables.items()}
    result = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
    assert b"SyntaxError" not in result.stderr
    return result.returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_port_of_the_service_where_it_is_the_only_one(status: int, code: int) -> None:
    with readyz(status) as port:
        assert health_check(VIT_PORT=port) == code
        assert health_check(VIT_PORT=port, VIT_ADMIN_PORT=0) == code
        assert health_check(VIT_PORT=port, http_proxy="http://127.0.0.1:9") == code


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_admin_port_where_there_is_one(status: int, code: int) -> None:
    with readyz(status) as admin, readyz(503 if status == 200 else 200) as port:
        assert health_check(VIT_PORT=port, VIT_ADMIN_PORT=admin) == code


def test_the_port_of_the_service_is_the_default_one_without_a_variable() -> None:
    assert "e('VIT_PORT', '8000')" in DOCKERFILE
    assert "\nEXPOSE 8000\n" in DOCKERFILE


def test_what_is_copied_is_there_and_let_through_to_the_engine() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [
        line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    copied = {name.rstrip("/") for names in copies for name in names}
    assert {"app", "pyproject.toml", "LICENSE"} <= copied == let_through
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
    for name in ("USER", "ENTRYPOINT", "CMD", "HEALTHCHECK", "EXPOSE"):
        assert [stage for stage, lines in stages().items() if any(x.startswith(f"{name} ") for x in lines)] == [
            "runtime"
        ]


def test_what_is_installed_is_held_to_the_constraints_here_and_by_make() -> None:
    commands = [*re.split(r"&&|\n", DOCKERFILE), *(ROOT / "Makefile").read_text().splitlines()]
    installs = [each for each in commands if re.search(r"\bpip install ", each) and not each.startswith("#")]
    assert len(installs) >= 5
    for each in installs:
        assert " -c constraints.txt " in each or " --no-deps " in each, each
    pinned = (ROOT / "constraints.txt").read_text().splitlines()[-1]
    assert f"constraints.txt says {pinned}." in DOCKERFILE


def test_what_pip_takes_from_its_environment_is_named_in_every_stage_that_installs() -> None:
    for lines in stages().values():
        if any("pip install " in line for line in lines):
            assert {f"ARG PIP_{name}" for name in ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS")} <= set(lines)


def test_the_licence_is_the_whole_of_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n")
    assert text.rstrip().endswith("limitations under the License.")
    assert [f"   {number}. " in text for number in range(1, 10)] == [True] * 9
    assert len(text.encode()) == 11_358
