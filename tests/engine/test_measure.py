"""Owns the tests of engine/measure.py."""

import threading
import time
from collections.abc import Sequence

import pytest

from app.engine.client import Scores
from app.engine.measure import images_per_second


class Sleeper:
    """Takes so long for each image, and for its first calls longer."""

    def __init__(self, image_s: float, max_batch_size: int = 8, first_s: float = 0.0) -> None:
        self.max_batch_size, self.image_s, self.first_s = max_batch_size, image_s, first_s
        self.sizes: list[int] = []
        self.threads: set[int] = set()

    def warm_up(self) -> None:
        raise AssertionError("that takes seconds")

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        assert not alone
        assert set(slots) == {0}
        assert len(slots) == len(top_ks) <= self.max_batch_size
        time.sleep(self.first_s if len(slots) not in self.sizes else self.image_s * len(slots))
        self.sizes.append(len(slots))
        self.threads.add(threading.get_ident())
        return [Scores([1.0], [0])] * len(slots)


def test_the_rate_is_that_of_whole_batches() -> None:
    runner = Sleeper(0.002)
    assert 250 < images_per_second([runner], 0.1) < 505
    assert set(runner.sizes[2:]) == {8}


def test_lanes_add_up_and_each_has_its_thread() -> None:
    runners = [Sleeper(0.004) for _ in range(3)]
    assert 400 < images_per_second(runners, 0.15) < 760
    assert len(set().union(*(set(runner.sizes) for runner in runners[1:]))) == 1
    assert len({max(runner.threads) for runner in runners[1:]}) == 2


def test_the_first_calls_of_each_size_are_not_counted() -> None:
    assert images_per_second([Sleeper(0.002, first_s=0.3)], 0.1) > 300


@pytest.mark.parametrize(("image_s", "most", "size"), [(0.04, 8, 3), (0.2, 8, 1), (0.001, 4, 4), (0.001, 1, 1)])
def test_a_batch_takes_no_longer_than_it_may(image_s: float, most: int, size: int) -> None:
    runner = Sleeper(image_s, most)
    images_per_second([runner], 0.01)
    assert max(runner.sizes) in (size, max(1, size - 1))  # a sleep is never shorter, and sometimes longer


def test_a_batch_that_is_longer_than_the_measuring_counts_once() -> None:
    runner = Sleeper(0.1, 1)
    assert 8 < images_per_second([runner], 0.01) < 10.1
    assert len(runner.sizes) == 4


def test_what_a_runner_raises_is_raised() -> None:
    class Broken(Sleeper):
        def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
            if len(slots) > 1:
                raise ArithmeticError("no")
            return super().run(slots, top_ks, alone)

    with pytest.raises(ArithmeticError, match="no"):
        images_per_second([Sleeper(0.001), Broken(0.001)], 0.01)
