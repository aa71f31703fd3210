import pytest

from app.engine.slots import SlotPool


def test_takes_each_slot_once_and_says_when_there_is_none() -> None:
    pool = SlotPool(3, height=2, width=4)
    taken = [pool.take() for _ in range(3)]
    assert sorted(slot for slot in taken if slot is not None) == [0, 1, 2]
    assert pool.take() is None
    assert pool.in_use == 3
    pool.release(1)
    assert pool.in_use == 2
    assert pool.take() == 1


def test_refuses_a_second_release() -> None:
    pool = SlotPool(1, 1, 1)
    slot = pool.take()
    assert slot is not None
    pool.release(slot)
    with pytest.raises(RuntimeError, match="released twice"):
        pool.release(slot)


def test_pixels_are_bytes_of_rgb() -> None:
    pool = SlotPool(5, height=2, width=4)
    assert pool.pixels.shape == (5, 2, 4, 3)
    assert pool.pixels.dtype == "uint8"
    assert pool.nbytes == 5 * 2 * 4 * 3
