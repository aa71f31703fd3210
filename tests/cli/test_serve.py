"""Owns the tests of cli/serve.py; the running server is tested end to end."""

from pathlib import Path

import pytest

from app.cli.main import main
from app.settings import Settings
from tests.cli.conftest import Command


def test_the_server_gets_the_settings_and_gives_the_exit_code(monkeypatch: pytest.MonkeyPatch):
    seen: list[Settings] = []

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 7

    monkeypatch.setattr("app.api.server.run", run)
    monkeypatch.setenv("VIT_SLOTS", "9")
    assert main(["serve", "--host", "0.0.0.0", "--port", "8123", "--model", "noop"]) == 7
    assert (seen[0].host, seen[0].port, seen[0].model, seen[0].slots) == ("0.0.0.0", 8123, "noop", 9)


def test_a_bad_value_ends_at_once_with_one_line(vit_serve: Command):
    done = vit_serve("serve", "--port", "70000")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "vit-serve serve: error: --port is '70000', but it should be less than or equal to 65535\n"
    assert vit_serve("serve", VIT_PORT="x").returncode == 2


def test_a_model_that_is_not_there_ends_before_the_port_opens(vit_serve: Command, tmp_path: Path):
    done = vit_serve("serve", "--port", "0", "--model", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"vit-serve: error: {tmp_path}: there are no weights in it")


def test_arguments_without_a_flag_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["serve", "embedded"])
    assert caught.value.code == 2
    assert "unrecognized arguments: embedded" in capsys.readouterr().err
