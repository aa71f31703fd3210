"""Owns the tests of capacity/hpa.py against the worked examples of Kubernetes' documentation and its source."""

import pytest

from app.capacity.hpa import (
    DOWN,
    UP,
    Autoscaler,
    Direction,
    Observed,
    Policy,
    Rules,
    _Changes,
    down_limit,
    up_limit,
    wanted,
    wanted_by_total,
)


def seen(replicas: int, value: float, *, missing: int = 0, pending: int = 0) -> Observed:
    return Observed(replicas, replicas - missing - pending, missing, pending, {"busy": value})


@pytest.mark.parametrize(
    ("replicas", "value", "target", "expected"),
    [
        (3, 200, 100, 6),  # "if the current metric value is 200m, and the desired value is 100m, … doubled"
        (4, 50, 100, 2),  # "if the current value is instead 50m, … halve the number of replicas"
        (10, 109, 100, 10),  # "skips any scaling action if the ratio is sufficiently close to 1.0", 0.1
        (10, 91, 100, 10),
        (10, 111, 100, 12),  # ceil(11.1)
        (10, 89, 100, 9),  # ceil(8.9)
        (1, 305, 50, 7),  # the walkthrough: 305 % of 50 % is 7 replicas
        (3, 0.6, 0.2, 9),  # 0.6 / 0.2 is a little more than 3 in binary
    ],
)
def test_desired_is_current_times_metric_over_target(replicas: int, value: float, target: float, expected: int):
    assert wanted(seen(replicas, value), "busy", target) == expected


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        # Up: those without a metric count as 0. (3 · 2 + 0) / 4 / 1 = 1.5 of 4.
        (seen(4, 2.0, missing=1), 6),
        # Up, pending pods are 0 too: (2 · 1.3) / 4 = 0.65 would turn it round: nothing is done.
        (seen(4, 1.3, pending=2), 4),
        # Up, damped into the tolerance: 3 · 1.4 / 4 = 1.05.
        (seen(4, 1.4, missing=1), 4),
        # Down: those without a metric count as the target: (3 · 0.2 + 1) / 4 = 0.4 of 4.
        (seen(4, 0.2, missing=1), 2),
        # Down, pending pods do not count at all: ceil(0.5 · 2).
        (seen(4, 0.5, pending=2), 1),
        # Down, damped into the tolerance: (1 · 0.7 + 3) / 4 = 0.925.
        (seen(4, 0.7, missing=3), 4),
    ],
)
def test_pods_without_a_metric_damp_it(observed: Observed, expected: int):
    assert wanted(observed, "busy", 1.0) == expected


def test_without_any_metric_nothing_is_known():
    assert wanted(seen(3, 9.0, pending=3), "busy", 1.0) is None
    assert Autoscaler(Rules(1, 10, {"busy": 1.0})).tick(0, seen(3, 9.0, pending=3)) == 3


def test_by_total_divides_the_whole():
    assert wanted_by_total(4, 12.0, 2.0) == 6
    assert wanted_by_total(4, 8.5, 2.0) == 4  # within the tolerance
    assert wanted_by_total(0, 3.0, 2.0) == 2


def policies(*each: tuple[str, int], select: str = "Max") -> Direction:
    return Direction(tuple(Policy(kind, value, 60) for kind, value in each), 0, select)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("current", "direction", "change", "expected"),
    [
        (5, policies(("Pods", 4)), 0, 9),
        (5, policies(("Pods", 4)), 2, 7),  # of four two are used up
        (5, policies(("Pods", 4), select="Disabled"), 0, 5),
        (5, policies(("Pods", 4), ("Pods", 2), select="Min"), 0, 7),
        (10, policies(("Percent", 50)), 0, 15),
        (1, policies(("Percent", 10)), 0, 2),  # rounded up, or it would never grow
    ],
)
def test_the_limit_upwards(current: int, direction: Direction, change: int, expected: int):
    assert up_limit(current, direction, _Changes(100, [(70, change)])) == expected


@pytest.mark.parametrize(
    ("current", "direction", "change", "expected"),
    [
        (10, policies(("Percent", 20)), 0, 8),
        (10, policies(("Percent", 20)), -1, 8),  # int(11 · 0.8)
        (100, policies(("Percent", 10), ("Pods", 5)), 0, 90),
        (10, policies(("Percent", 20), select="Disabled"), 0, 10),
        (100, policies(("Percent", 10), ("Pods", 15), select="Min"), 0, 90),
    ],
)
def test_the_limit_downwards(current: int, direction: Direction, change: int, expected: int):
    assert down_limit(current, direction, _Changes(100, [(70, change)])) == expected


def test_the_documentations_policies_take_away_four_pods_or_a_tenth():
    """80 replicas, 10 % a minute or 4 pods a minute: 8 first; "on each loop … 10 % of 72 is 7.2 but … rounded up to 8";
    at 40 or fewer the second policy takes 4 at a time."""
    direction = Direction((Policy("Pods", 4, 60), Policy("Percent", 10, 60)), 0)
    assert down_limit(80, direction, _Changes(0, [])) == 72
    assert down_limit(72, direction, _Changes(60, [(0, -8)])) == 64
    assert down_limit(40, direction, _Changes(0, [])) == 36
    assert down_limit(30, direction, _Changes(0, [])) == 26


def follow(scaler: Autoscaler, replicas: int, values: list[float]) -> list[int]:
    """Replicas after each sync of 15 s; all have a metric at once."""
    found = []
    for number, value in enumerate(values):
        replicas = scaler.tick(15.0 * number, seen(replicas, value))
        found.append(replicas)
    return found


def test_by_default_it_at_most_doubles_or_adds_four_in_fifteen_seconds():
    assert follow(Autoscaler(Rules(1, 1000, {"busy": 0.1})), 1, [1.0] * 5) == [5, 10, 20, 40, 80]


def test_by_default_it_goes_down_after_five_minutes_to_the_most_wanted_within_them():
    found = follow(Autoscaler(Rules(1, 100, {"busy": 0.5})), 10, [0.4] * 5 + [0.1] * 24)
    assert found[:20] == [10] * 20  # what there was when it began counts as wanted then
    assert found[20:24] == [8] * 4  # 300 s: now the most is what 0.4 asks for, wanted until 60 s
    assert found[24] == 2  # 360 s


def test_bounds_hold_and_come_before_metrics():
    assert follow(Autoscaler(Rules(2, 4, {"busy": 0.5})), 3, [1.0]) == [4]
    assert follow(Autoscaler(Rules(2, 4, {"busy": 0.5})), 9, [1.0]) == [4]
    assert follow(Autoscaler(Rules(2, 4, {"busy": 0.5}, UP, Direction(DOWN.policies, 0))), 3, [0.01]) == [2]


def test_between_syncs_nothing_happens():
    scaler = Autoscaler(Rules(1, 100, {"busy": 0.5}))
    assert scaler.tick(0, seen(2, 1.0)) == 4
    assert scaler.tick(14.9, seen(4, 1.0)) == 4
    assert scaler.tick(15, seen(4, 1.0)) == 8


def test_the_metric_that_asks_for_most_counts():
    observed = Observed(4, 4, 0, 0, {"busy": 0.5, "wait": 0.3})
    assert Autoscaler(Rules(1, 100, {"busy": 0.5, "wait": 0.1})).tick(0, observed) == 8
