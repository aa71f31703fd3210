"""Owns the tests of commands where torch is not installed; does not test what they do with it."""

import sys

import pytest

from app.cli.main import main


@pytest.mark.parametrize("arguments", [["inspect", "embedded"], ["evaluate", "embedded", "nowhere"]])
def test_a_command_that_needs_torch_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    loaded = [name for name in sys.modules if name.startswith(("app.training", "app.insight", "app.checkpoints.s"))]
    for name in [*loaded, "torch"]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it could not be found
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"vit-serve: error: `{arguments[0]}` needs torch, which is not installed here\n"
