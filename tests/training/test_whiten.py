"""Owns the tests of training/whiten.py."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from app.network.stem import ConvStem
from app.network.vit import VisionTransformer
from app.package.variants import VARIANTS
from app.training.loop import Trainer
from app.training.start import Start, preprocess_spec, random_start
from app.training.whiten import whiten
from tests.training.pictures import RECIPE, SHAPE, stripes

NAME = "vit_test_stem"
STEM = replace(SHAPE, patch_size=4, stem_widths=(8, 16))


def entry(network: VisionTransformer) -> torch.Tensor:
    """The filters that see the pixels."""
    assert isinstance(stem := network.patch_embed.stem, ConvStem)
    return stem.entry.conv.weight


def images(count: int = 40) -> torch.Tensor:
    """Colours that go together, as in photographs, and neighbours that are alike."""
    torch.manual_seed(3)
    noise = torch.randn(count, 3, 16, 16) + 2 * torch.randn(count, 1, 16, 16)
    return F.avg_pool2d(noise, 3, stride=1, padding=1) + 0.3


def test_the_filters_are_the_principal_components_of_patches_with_both_signs():
    network = VisionTransformer(STEM)
    network.init_weights()
    data = images()
    whiten(network, data)
    filters = entry(network).detach().flatten(1)
    half = filters[: len(filters) // 2]
    torch.testing.assert_close(filters[len(half) :], -half)
    torch.testing.assert_close(half @ half.T, torch.eye(len(half)), atol=1e-5, rtol=0)
    patches = data.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 27)
    covariance = (patches @ half.T).T @ (patches @ half.T) / len(patches)
    variances = covariance.diag()
    assert (covariance - variances.diag()).abs().max() < 1e-4 * variances.max()
    assert variances.tolist() == sorted(variances.tolist(), reverse=True)


def test_grey_images_have_fewer_components_than_there_are_filters():
    network = VisionTransformer(replace(STEM, in_chans=1))
    network.init_weights()
    before = entry(network).detach().clone()
    whiten(network, images()[:, :1])
    after = entry(network).detach()
    torch.testing.assert_close(after[:9], -after[9:18])
    assert torch.equal(after[18:], before[18:])


def test_the_filters_stay_as_they_are_set_or_as_the_start_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(VARIANTS, NAME, STEM)
    recipe = replace(RECIPE, variant=NAME, epochs=1)

    def filters_of(start: Start, name: str) -> list[torch.Tensor]:
        """After each of two steps, and the average's."""
        trainer = Trainer(recipe, start, 2, torch.device("cpu"), torch.float32)
        run = trainer.run(stripes(32), stripes(8), tmp_path / name)
        found = []
        for _ in range(2):
            next(run)
            found.append(entry(trainer.master).detach().clone())
        return [*found, entry(trainer.average)]

    first, last, average = filters_of(random_start(recipe), "fresh.pt")
    assert torch.equal(first, last) and torch.equal(first, average)
    network = VisionTransformer(replace(STEM, num_classes=2))
    network.init_weights()
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("head.")}
    first, last, _ = filters_of(Start(NAME, STEM, preprocess_spec(STEM), weights), "start.pt")
    assert torch.equal(first, last) and torch.equal(first, entry(network))


def test_a_network_without_a_stem_is_left_alone():
    network = VisionTransformer(SHAPE)
    network.init_weights()
    before = network.patch_embed.proj.weight.detach().clone()
    whiten(network, images())
    assert torch.equal(network.patch_embed.proj.weight, before)
