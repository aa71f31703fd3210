"""Owns the tests of engine/runners/noop.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.engine.runners.noop import CLASSES, NoopRunner


def test_every_image_gets_the_same_answer() -> None:
    runner = NoopRunner(4)
    runner.warm_up()
    assert runner.max_batch_size == 4
    one, two, everything = runner.run([3, 1, 0], [1, 2, CLASSES], alone=False)
    assert one.indices == everything.indices[:1] == [CLASSES - 1]
    assert two.indices == everything.indices[:2]
    assert two.scores == everything.scores[:2]
    assert sorted(everything.indices) == list(range(CLASSES))
    assert sum(everything.scores) == pytest.approx(1, abs=1e-4)
    assert everything.scores == sorted(everything.scores, reverse=True)


def test_it_takes_neither_torch_nor_openvino() -> None:
    code = "import sys, app.engine.runners.noop; assert not {'torch', 'openvino'} & sys.modules.keys()"
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=50)
