"""Owns the tests of training on each kind of device: the GPU's run in the `gpu` group."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.package.variants import VARIANTS
from app.training.loop import EpochReport, Trainer
from tests.training.pictures import RECIPE, SHAPE, fresh, stripes

NAME = "vit_test_stem"


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_a_network_with_a_stem_learns_and_goes_on_after_a_break(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, precision: torch.dtype
):
    monkeypatch.setitem(VARIANTS, NAME, replace(SHAPE, patch_size=8, stem_widths=(8, 16, 32)))
    recipe = replace(RECIPE, variant=NAME, epochs=4, batch_size=32, learning_rate=0.01, ema_decay=0.9)

    def trainer() -> Trainer:
        return Trainer(recipe, fresh(recipe), 2, torch.device(device), precision)

    train, validation, checkpoint = stripes(320), stripes(64, seed=1), tmp_path / "c.pt"
    broken = trainer().run(train, validation, checkpoint)
    assert isinstance(next(r for r in broken if isinstance(r, EpochReport)), EpochReport)
    subject = trainer()
    epochs = [r for r in subject.run(train, validation, checkpoint) if isinstance(r, EpochReport)]
    assert [r.epoch for r in epochs] == [2, 3, 4]
    assert epochs[-1].validation_accuracy > 0.95
