"""Owns the tests of cli/main.py and app/__main__.py."""

import subprocess
import sys
from argparse import ArgumentError
from pathlib import Path

import pytest

import app
from app.cli import main as subject
from app.cli.main import COMMANDS, main
from app.errors import PackageError
from tests.cli.conftest import ROOT, Command


def answer(command: str, **replacement: object) -> subject.Command:
    old = COMMANDS[command]
    return subject.Command(old.summary, old.configure, replacement["run"])  # type: ignore[arg-type]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"    {name}" in shown
        assert command.summary in shown


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS), ["--version"]])
def test_help_needs_no_heavy_import(arguments: list[str]):
    code = (
        "import sys, app.cli.main as m\n"
        "try: m.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join({'torch', 'numpy', 'PIL', 'fastapi', 'uvicorn', 'rich', 'matplotlib'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert f"usage: vit-serve {name}" in told
    assert "%%" not in told


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("clasify", "did you mean 'classify'?"),
        ("xyz", "there are: " + ", ".join(COMMANDS)),
    ],
)
def test_an_unknown_command_is_answered_with_a_hint(typed: str, hint: str, capsys: pytest.CaptureFixture[str]):
    assert main([typed, "photo.jpg"]) == 2
    error = capsys.readouterr().err
    assert error == f"vit-serve: error: there is no command {typed!r}; {hint}\n"


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vit-serve {app.__version__}\n"


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (PackageError("model.safetensors: gone"), 1, "vit-serve: error: model.safetensors: gone\n"),
        (ArgumentError(None, "--port is 'x'"), 2, "vit-serve models: error: --port is 'x'\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_exit_codes_and_one_line(
    raised: BaseException,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def run(_: object) -> int:
        raise raised

    monkeypatch.setitem(COMMANDS, "models", answer("models", run=run))
    assert main(["models"]) == code
    assert capsys.readouterr().err == told


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch):
    def run(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setitem(COMMANDS, "models", answer("models", run=run))
    with pytest.raises(ZeroDivisionError):
        main(["models"])


def test_python_dash_m_is_the_same_command(vit_serve: Command):
    done = vit_serve("--version")
    assert (done.returncode, done.stdout) == (0, f"vit-serve {app.__version__}\n")
    assert vit_serve("nothing").returncode == 2


def test_a_reader_that_leaves_is_no_error_to_shout_about(tmp_path: Path):
    command = [sys.executable, "-m", "app", "models", "--format", "json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(50) == 1
