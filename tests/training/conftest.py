"""Owns the small network that the tests of training train, and its one core; does not test."""

from collections.abc import Iterator

import pytest
import torch

from app.package.variants import VARIANTS
from tests.training.pictures import SHAPE, VARIANT


@pytest.fixture(autouse=True)
def small_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, VARIANT, SHAPE)


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Steps this small take longer on several cores, and much longer where those are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
