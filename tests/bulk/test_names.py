"""Owns the tests of bulk/names.py."""

import tracemalloc

from app.bulk.names import Names


def test_each_name_is_new_once():
    names, known = Names(), set[str]()
    for number in range(30_000):
        name = f"{number % 20_000}\udcff"
        assert (name in names) == (name in known)
        assert names.add(name) == (name not in known)
        known.add(name)
    assert len(names) == 20_000


def test_a_name_takes_no_more_than_32_bytes():
    tracemalloc.start()
    try:
        names = Names()
        for number in range(20_000):
            names.add(f"{number:040}")
        assert tracemalloc.get_traced_memory()[0] <= 20_000 * 32 + 1000
    finally:
        tracemalloc.stop()
