"""Owns the options of `vit-serve classify --ray`, in an environment without Ray; tests/distributed runs it with Ray."""

import importlib.util

import pytest

from tests.cli.conftest import Command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.png", "--shard-images", "2"), "--shard-images goes with --ray"),
        (("a.png", "--worker-cpus", "2"), "--worker-cpus goes with --ray"),
        (("a.png", "--ray", "local"), "--ray needs --out"),
        (("a.png", "--ray", "local", "--out", "x", "--format", "csv"), "--format csv goes without --ray"),
        (("a.png", "--ray", "local", "--out", "x", "--resume"), "--resume goes without --ray"),
        (("a.png", "--ray", "local", "--out", "x", "--url", "http://y"), "--url goes without --ray"),
        (("-", "--ray", "local", "--out", "x"), "standard input of this machine"),
        (("a.png", "--ray", "local", "--out", "x", "--workers", "0"), "invalid number of at least 1 value: '0'"),
    ],
)
def test_options_that_contradict_are_told(vit_serve: Command, arguments: tuple[str, ...], message: str) -> None:
    done = vit_serve("classify", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
def test_without_the_extra_one_line_says_how_to_get_it(vit_serve: Command) -> None:
    done = vit_serve("classify", "a.png", "--ray", "local", "--out", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vit-serve: error: --ray needs ray, ")
    assert done.stderr.endswith("pip install 'vit-serve[ray]', on every node of the cluster\n")
    assert done.stderr.count("\n") == 1
