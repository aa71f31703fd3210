"""Owns the comparison of what is read, of a file with several dictionaries of weights, with what timm reads."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.checkpoints.read import open_file
from tests.parity.conftest import run_reference

pytestmark = pytest.mark.parity


def test_of_several_dictionaries_the_one_that_timm_takes(tmp_path: Path) -> None:
    run_reference("make", "timm", tmp_path, "wrappings.py")
    cases = sorted(tmp_path.glob("*.pth"))
    assert len(cases) == 30
    for path in cases:
        timms, opened = load_file(path.with_suffix(".safetensors")), open_file(path)
        assert opened.tensors.keys() == timms.keys()
        for name, tensor in timms.items():
            assert torch.equal(opened.tensors[name].read(), tensor), path.name
        assert bool(opened.remarks) == ("+" in path.stem or "ema" in path.stem)
