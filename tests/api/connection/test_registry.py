"""Who is in, how many may be, and what is said of it."""

import logging
import resource

import pytest

from app.api.connection.limits import connections_that_fit
from app.api.connection.registry import Connections
from tests.api.connection.conftest import Counter


class Guest:
    """A connection of which only its eviction is known; it stays in the house until it notices."""

    gone = False

    def evict(self) -> None:
        self.gone = True

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize(
    ("asked", "soft", "fits"),
    [
        (0, 1024, 960),
        (100, 1024, 100),
        (5000, 1024, 960),
        (0, 40, 16),
        (0, resource.RLIM_INFINITY, 65_536),
        (100_000, resource.RLIM_INFINITY, 65_536),
    ],
)
def test_so_many_fit_below_the_limit_on_descriptors(
    monkeypatch: pytest.MonkeyPatch, asked: int, soft: int, fits: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert connections_that_fit(asked) == fits


def test_whoever_is_sent_away_is_out_at_once() -> None:
    house = Connections(2, counter := Counter())
    guests = [Guest() for _ in range(5)]
    assert all(house.enter(guest) for guest in guests)
    assert [guest.gone for guest in guests] == [True] * 3 + [False] * 2
    assert house.open == set(guests[3:]) and counter.closed == ["idle_evicted"] * 3


def test_whoever_is_out_does_not_come_back_by_being_idle() -> None:
    house = Connections(1, Counter())
    first, second, third = Guest(), Guest(), Guest()
    house.enter(first)
    house.is_busy(first)
    house.leave(first)
    house.is_idle(first)
    assert house.enter(second) and house.enter(third)
    assert (first.gone, second.gone, len(house.open)) == (False, True, 1)


def test_a_full_house_is_logged_but_not_for_each_newcomer(caplog: pytest.LogCaptureFixture) -> None:
    house = Connections(1, Counter())
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            house.enter(Guest())
    assert [record.getMessage() for record in caplog.records] == ["all 1 connections are taken; 1 new ones met that"]


def test_what_is_kept_stays_counted_when_the_house_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.connection.registry._MAX_KEPT_BYTES", 100)
    house = Connections(2, counter := Counter())
    first, second = Guest(), Guest()
    for guest in (first, second):
        house.enter(guest)
        house.is_busy(guest)
    house.keeps(first, 60)
    assert not house.enter(Guest())
    house.keeps(second, 50)
    assert (first.gone, second.gone) == (False, True) and counter.closed == ["refused"] * 2
    house.keeps(first, 0)
    house.keeps(first, 100)
    assert not first.gone


@pytest.mark.parametrize("state", ["is_idle", "is_sending"])
def test_whoever_was_sent_away_is_not_sent_away_again(state: str) -> None:
    house = Connections(1, Counter())
    first, second = Guest(), Guest()
    house.enter(first)
    house.enter(second)
    house.is_busy(second)
    getattr(house, state)(first)
    assert not house.enter(Guest())


def test_whoever_has_just_come_may_be_about_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("app.api.connection.registry.time.monotonic", lambda: now)
    house, sender, fresh = Connections(2, Counter()), Guest(), Guest()
    house.enter(sender)
    house.is_sending(sender)
    now += 10
    house.enter(fresh)
    house.enter(last := Guest())
    assert (sender.gone, fresh.gone) == (True, False)
    now += 10
    house.is_sending(last)
    now += 10
    assert house.enter(Guest())
    assert (fresh.gone, last.gone) == (True, False)  # it had its time: who asks for nothing goes first
