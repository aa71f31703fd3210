"""Owns the tests of commands where torch is not installed; does not test what they do with it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["inspect", "evaluate"])
def test_a_command_that_needs_torch_says_so(command: str) -> None:
    arguments = [command, "embedded", *(["nowhere"] if command == "evaluate" else [])]
    code = f"import sys; sys.modules['torch'] = None; from app.cli.main import main; sys.exit(main({arguments}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert done.stderr == f"vit-serve: error: `{command}` needs torch, which is not installed here\n"
