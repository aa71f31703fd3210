"""Owns the tests of training/loop.py."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from app.errors import SetupError
from app.network.block import Block
from app.training import loop
from app.training.augment import augment
from app.training.dataset import split
from app.training.loop import EpochReport, StepReport, Trainer
from app.training.recipe import Recipe
from tests.training.pictures import RECIPE, fresh, stripes

CPU = torch.device("cpu")
# Everything that draws random numbers or changes in the course of the run.
BUSY = replace(RECIPE, drop_path_rate=0.3, patch_drop_rate=0.5, patch_drop_until=0.5, augment_until=0.8)


def trainer(recipe: Recipe = RECIPE, precision: torch.dtype = torch.float32) -> Trainer:
    return Trainer(recipe, fresh(recipe), 2, CPU, precision)


def reports(run: Iterator[StepReport | EpochReport]) -> list[tuple[Any, ...]]:
    """All that does not depend on the clock."""
    steps = [(r.step, r.loss) if isinstance(r, StepReport) else (r.epoch, r.validation_loss) for r in run]
    assert steps
    return steps


def state(of: Trainer) -> list[torch.Tensor]:
    """Every number that the rest of a run depends on."""
    tensors = [*of.master.state_dict().values(), *of.average.state_dict().values(), torch.get_rng_state()]
    for optimizer in of.optimizers.each:
        for entry in optimizer.state.values():
            tensors += [value for value in entry.values() if isinstance(value, torch.Tensor)]
    return tensors


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


def test_a_resumed_run_is_the_uninterrupted_one_bit_by_bit(tmp_path: Path):
    train, validation = split(stripes(80), 0.2, seed=1)
    whole = trainer(BUSY)
    told = reports(whole.run(train, validation, tmp_path / "whole.pt"))
    expected = state(whole)

    broken = trainer(BUSY).run(train, validation, tmp_path / "broken.pt")
    first = [next(broken) for _ in range(7)]  # 4 steps and the epoch, then 2 steps that are lost
    assert [type(r) for r in first] == [StepReport] * 4 + [EpochReport] + [StepReport] * 2
    torch.manual_seed(99)  # another process has another generator
    resumed = trainer(BUSY)
    rest = reports(resumed.run(train, validation, tmp_path / "broken.pt"))

    assert rest == told[5:]
    assert same(state(resumed), expected)


def test_a_finished_run_resumes_to_nothing(tmp_path: Path):
    train, validation = split(stripes(20), 0.2, seed=1)
    first = trainer()
    reports(first.run(train, validation, tmp_path / "c.pt"))
    again = trainer()
    assert list(again.run(train, validation, tmp_path / "c.pt")) == []
    assert same(state(first), state(again))


def test_the_seed_decides_the_run(tmp_path: Path):
    train, validation = split(stripes(40), 0.2, seed=1)
    runs = [
        reports(trainer(replace(BUSY, seed=seed)).run(train, validation, tmp_path / f"{i}.pt"))
        for i, seed in enumerate((1, 1, 2))
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_an_easy_problem_is_learnt(tmp_path: Path, precision: torch.dtype):
    train, validation = split(stripes(640), 0.2, seed=1)
    recipe = replace(RECIPE, epochs=12, batch_size=32, learning_rate=0.01, ema_decay=0.9)
    subject = trainer(recipe, precision)
    untrained = subject.evaluate(validation)[1]
    accuracies = [
        r.validation_accuracy for r in subject.run(train, validation, tmp_path / "c.pt") if isinstance(r, EpochReport)
    ]
    assert untrained < 0.8
    assert accuracies[-1] > 0.95


def test_what_cannot_be_learnt_is_not(tmp_path: Path):
    data = stripes(320)
    data = replace(data, targets=data.targets[torch.randperm(320, generator=torch.Generator().manual_seed(3))])
    train, validation = split(data, 0.5, seed=1)
    last = list(trainer(replace(RECIPE, batch_size=32)).run(train, validation, tmp_path / "c.pt"))[-1]
    assert isinstance(last, EpochReport)
    assert 0.35 < last.validation_accuracy < 0.65


def test_fewer_images_than_a_batch_make_one_step_an_epoch(tmp_path: Path):
    train, validation = split(stripes(6), 0.2, seed=1)
    told = list(trainer(replace(RECIPE, batch_size=128)).run(train, validation, tmp_path / "c.pt"))
    assert [r.step for r in told if isinstance(r, StepReport)] == [1, 2, 3]
    assert {r.total_steps for r in told if isinstance(r, StepReport)} == {3}


def test_every_epoch_sees_other_images_last_and_none_twice():
    subject = trainer(replace(RECIPE, batch_size=16))
    first = torch.cat(subject._batches(40))
    subject.epoch = 1
    second = torch.cat(subject._batches(40))
    assert len(set(first.tolist())) == len(first) == 32
    assert set(first.tolist()) != set(second.tolist())


def rates(recipe: Recipe, tmp_path: Path) -> list[float]:
    train, validation = split(stripes(160), 0.2, seed=1)  # 8 steps an epoch
    subject = trainer(recipe)
    return [
        subject.optimizers.learning_rate / recipe.learning_rate
        for r in subject.run(train, validation, tmp_path / "c.pt")
        if isinstance(r, StepReport)
    ]


def test_the_learning_rate_rises_for_the_warm_up_and_falls_in_a_line(tmp_path: Path):
    factors = rates(replace(RECIPE, epochs=3, warmup_epochs=1.0), tmp_path)
    assert factors[:8] == pytest.approx([(i + 1) / 9 for i in range(8)])
    assert factors[8:] == pytest.approx([1 - i / 16 for i in range(16)])


def test_a_short_run_comes_down_too(tmp_path: Path):
    factors = rates(replace(RECIPE, epochs=1, warmup_epochs=1.0), tmp_path)
    assert max(factors) == 1.0
    assert factors[-1] == 0.25  # of four steps down


def test_all_parameters_are_trained_by_exactly_one_optimizer():
    subject = trainer()
    groups = [group["params"] for optimizer in subject.optimizers.each for group in optimizer.param_groups]
    places = [
        p.data_ptr() for group in groups for p in group
    ]  # convolutions are trained as matrices in the same memory
    assert sorted(places) == sorted(p.data_ptr() for p in subject.master.parameters())


def test_the_average_follows_the_weights(tmp_path: Path):
    train, validation = split(stripes(20), 0.2, seed=1)
    subject = trainer(replace(RECIPE, ema_decay=0.9))
    before = [p.clone() for p in subject.master.parameters()]
    run = subject.run(train, validation, tmp_path / "c.pt")
    next(run)
    decay = 2 / 11  # (1 + step) / (10 + step) after the first step
    for old, new, average in zip(before, subject.master.parameters(), subject.average.parameters(), strict=True):
        assert not torch.equal(old, new)
        assert torch.allclose(average, decay * old + (1 - decay) * new, atol=1e-6)


def test_patches_are_dropped_for_their_share_of_the_run_and_paths_throughout(tmp_path: Path):
    train, validation = split(stripes(40), 0.2, seed=1)  # 2 steps an epoch, 6 in all
    subject = trainer(replace(RECIPE, patch_drop_rate=0.5, patch_drop_until=0.5, drop_path_rate=0.25))
    tokens: list[int] = []
    subject.worker.blocks[0].register_forward_hook(lambda _, inputs, __: tokens.append(inputs[0].shape[1]))
    reports(subject.run(train, validation, tmp_path / "c.pt"))
    assert tokens == [1 + 8] * 3 + [1 + 16] * 3
    last = subject.worker.blocks[1]
    assert isinstance(last, Block)
    assert last.drop_path.rate == 0.25
    assert subject.worker.training and not subject.average.training


def test_augmentation_ends_with_its_share_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[bool] = []

    def spy(images: torch.Tensor, recipe: Recipe, *, only_flip: bool) -> torch.Tensor:
        told.append(only_flip)
        return augment(images, recipe, only_flip=only_flip)

    monkeypatch.setattr(loop, "augment", spy)
    train, validation = split(stripes(40), 0.2, seed=1)
    reports(trainer(replace(RECIPE, augment_until=0.5)).run(train, validation, tmp_path / "c.pt"))
    assert told == [False] * 3 + [True] * 3


def test_the_loss_is_the_smoothed_cross_entropy_of_normalised_images(tmp_path: Path):
    still = replace(RECIPE, batch_size=16, flip=0.0, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), colour=0.0)
    train, validation = split(stripes(20), 0.2, seed=1)
    subject = trainer(replace(still, drop_path_rate=0.0, label_smoothing=0.3))
    for network in (subject.master, subject.average):
        network.head.weight.data.mul_(200)  # far from even scores, where smoothing makes no difference
    with torch.no_grad():
        logits = subject.average.eval()((train.images / 255 - 0.5) / 0.25)
    expected = F.cross_entropy(logits, train.targets, label_smoothing=0.3).item()
    first = next(subject.run(train, validation, tmp_path / "c.pt"))
    assert isinstance(first, StepReport)
    assert first.loss == pytest.approx(expected, rel=1e-4)
    assert abs(first.loss - F.cross_entropy(logits, train.targets).item()) > 0.01


def test_gradients_in_bfloat16_reach_weights_in_float32(tmp_path: Path):
    train, validation = split(stripes(20), 0.2, seed=1)
    subject = trainer(precision=torch.bfloat16)
    next(subject.run(train, validation, tmp_path / "c.pt"))
    assert {p.dtype for p in subject.worker.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in subject.master.parameters()} == {torch.float32}
    rounded = [torch.equal(p, p.bfloat16().float()) for p in subject.master.parameters()]
    assert not all(rounded)


def test_a_run_that_diverges_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path):
    train, validation = split(stripes(40), 0.2, seed=1)
    path = tmp_path / "c.pt"
    run = trainer().run(train, validation, path)
    while not isinstance(next(run), EpochReport):
        pass
    good = path.read_bytes()
    with pytest.raises(FloatingPointError, match=r"step \d+: the .*loss is (nan|inf)|norm of its gradient (nan|inf)"):
        list(trainer(replace(RECIPE, learning_rate=1e30)).run(train, validation, path))
    assert path.read_bytes() == good


def test_weights_that_break_in_the_last_step_of_an_epoch_are_not_saved(tmp_path: Path):
    train, validation = split(stripes(6), 0.2, seed=1)
    recipe = replace(RECIPE, epochs=1, learning_rate=1e30, warmup_epochs=0.0, weight_decay=0.0)
    with pytest.raises(FloatingPointError, match="step 1: the validation loss is"):
        list(trainer(recipe).run(train, validation, tmp_path / "c.pt"))
    assert not (tmp_path / "c.pt").exists()


def test_a_checkpoint_of_other_images_is_refused(tmp_path: Path):
    path = tmp_path / "c.pt"
    reports(trainer().run(*split(stripes(20), 0.2, seed=1), path))
    with pytest.raises(SetupError, match=r"c\.pt: was trained on other images"):
        next(trainer().run(*split(stripes(20), 0.2, seed=2), path))


def test_a_checkpoint_that_names_no_images_is_taken(tmp_path: Path):
    """Those of the first version do not."""
    data, path = split(stripes(20), 0.2, seed=1), tmp_path / "c.pt"
    reports(trainer().run(*data, path))
    saved = torch.load(path, weights_only=True)
    del saved["data"]
    torch.save(saved, path)
    assert list(trainer().run(*data, path)) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"hello"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes):
    path = tmp_path / "c.pt"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"c\.pt: not a checkpoint of this run"):
        next(trainer().run(*split(stripes(20), 0.2, seed=1), path))


def test_a_checkpoint_of_another_network_is_refused_by_name(tmp_path: Path):
    data, path = split(stripes(20), 0.2, seed=1), tmp_path / "c.pt"
    reports(trainer().run(*data, path))
    with pytest.raises(SetupError, match=r"c\.pt: not a checkpoint of this run"):
        next(Trainer(RECIPE, fresh(), 3, CPU, torch.float32).run(*data, path))
