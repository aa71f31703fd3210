"""Owns the tests of pace.py."""

import pytest

from app.pace import Pace


def after(*batches: tuple[int, float], lanes: int = 1) -> float:
    """What `seconds_per_image` is after these batches of (images, seconds)."""
    pace = Pace(lanes)
    for images, seconds in batches:
        pace.add(images, seconds)
    return pace.seconds_per_image


def test_before_anything_has_left_nothing_is_known() -> None:
    assert after() == 0.0


def test_the_first_batch_is_believed_whole() -> None:
    assert after((4, 0.2)) == pytest.approx(0.05)


def test_lanes_share_the_work() -> None:
    assert after((4, 0.2), lanes=4) == pytest.approx(0.0125)
    assert after((4, 0.2), (8, 0.2), lanes=2) == pytest.approx(after((4, 0.2), (8, 0.2)) / 2)


def test_what_is_always_the_same_stays_so() -> None:
    assert after(*[(3, 0.6)] * 50) == pytest.approx(0.2)


@pytest.mark.parametrize("seconds", [4.1, 60.0, 1e9])
def test_a_machine_that_paused_once_counts_as_four_times_the_usual(seconds: float) -> None:
    paused = after((1, 1.0), (1, seconds))
    assert paused == pytest.approx(after((1, 1.0), (1, 4.0))) == pytest.approx(1.6)
    assert after((1, 1.0), (1, seconds), *[(1, 1.0)] * 10) < 1.1


def test_what_is_usual_depends_on_the_size_of_the_batch() -> None:
    """A large batch after a small one is no outlier."""
    assert after((1, 0.1), (40, 4.0)) == pytest.approx(0.1)
    assert after((40, 4.0), (1, 4.0)) == pytest.approx((0.8 * 4.0 + 0.2 * 0.4) / (0.8 * 40 + 0.2 * 1))


def test_a_machine_that_has_become_slower_is_believed_in_the_end() -> None:
    assert after((1, 0.01), *[(1, 1.0)] * 60) == pytest.approx(1.0, rel=0.01)
    assert after((1, 1.0), *[(1, 0.01)] * 60) == pytest.approx(0.01, rel=0.01)


def test_batches_count_by_their_size() -> None:
    """One image alone takes a quarter of what eight take: not half of all images are that slow."""
    rate = after(*[(8, 0.8), (1, 0.2)] * 40)
    assert 0.1 < rate < 0.125 < (0.1 + 0.2) / 2
    assert after((8, 0.8), (1, 0.2)) == pytest.approx((0.8 * 0.8 + 0.2 * 0.2) / (0.8 * 8 + 0.2))
