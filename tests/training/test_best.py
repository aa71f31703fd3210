"""Owns the tests of training/best.py."""

import torch
from torch import nn

from app.training.best import BestEpoch


def network(value: float) -> nn.Module:
    linear = nn.Linear(1, 1)
    nn.init.constant_(linear.weight, value)
    return linear


def weight(of: BestEpoch) -> float:
    restored = network(-1.0)
    of.restore(restored)
    return float(restored.state_dict()["weight"])


def told(losses: list[float], patience: int) -> BestEpoch:
    best = BestEpoch(patience)
    for epoch, loss in enumerate(losses, 1):
        best.note(epoch, loss, network(float(epoch)))
    return best


def test_the_weights_of_the_lowest_loss_come_back():
    best = told([3.0, 1.0, 2.0, 1.0], patience=9)
    assert (best.epoch, best.loss, weight(best)) == (2, 1.0, 2.0)  # the earlier of two that are as good


def test_the_weights_kept_do_not_move_with_the_network():
    best, moving = BestEpoch(1), network(4.0)
    best.note(1, 1.0, moving)
    nn.init.constant_(next(moving.parameters()), 5.0)
    assert weight(best) == 4.0


def test_it_is_over_after_so_many_epochs_without_a_better_one():
    best = told([3.0, 1.0, 2.0], patience=2)
    assert [best.is_over(epoch) for epoch in (2, 3, 4, 5)] == [False, False, True, True]


def test_without_patience_nothing_is_kept_and_nothing_ends():
    best = told([1.0, 2.0, 3.0], patience=0)
    assert (best.epoch, best.weights, best.is_over(100), weight(best)) == (0, {}, False, -1.0)


def test_it_goes_on_from_its_state():
    best, again = told([3.0, 1.0], patience=2), BestEpoch(2)
    again.load_state_dict(best.state_dict())
    again.note(3, 2.0, network(9.0))
    assert (again.epoch, again.loss, weight(again)) == (2, 1.0, 2.0)
    assert torch.equal(again.weights["weight"], torch.tensor([[2.0]]))
