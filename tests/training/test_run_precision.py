"""Owns the tests of the precision that a run chooses."""

import pytest
import torch

from app.training.run import choose_precision


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)],
)
def test_automatic_precision_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], expected: torch.dtype
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) is expected
    assert choose_precision("float32", cpu) is torch.float32
    assert choose_precision("bfloat16", cpu) is torch.bfloat16
