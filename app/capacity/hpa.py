"""Owns the rules of Kubernetes' HorizontalPodAutoscaler, version 2; does not read manifests or hold pods.

After `replica_calculator.go` and `horizontal.go` of Kubernetes 1.33, whose documentation says the same in words.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

TOLERANCE: Final = 0.1
SYNC_S: Final = 15.0
_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Policy:
    """So many pods, or so many percent of them, in a period."""

    type: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class Direction:
    """How fast it may go one way, and how long it looks back before it does."""

    policies: tuple[Policy, ...]
    stabilization_s: float
    select: Literal["Max", "Min", "Disabled"] = "Max"


UP: Final = Direction((Policy("Pods", 4, 15), Policy("Percent", 100, 15)), 0)
DOWN: Final = Direction((Policy("Percent", 100, 15),), 300)


@dataclass(frozen=True, slots=True)
class Rules:
    """A HorizontalPodAutoscaler's spec: `targets` are average values a pod, by metric."""

    least: int
    most: int
    targets: Mapping[str, float]
    up: Direction = UP
    down: Direction = DOWN
    tolerance: float = TOLERANCE
    sync_s: float = SYNC_S


@dataclass(frozen=True, slots=True)
class Observed:
    """What the autoscaler sees: pods by state, and each metric's average over those that have one.

    `pending`: not started. `missing`: started, but without a metric yet. `arrivals_per_s` is that of the front door.
    """

    replicas: int
    measured: int
    missing: int
    pending: int
    values: Mapping[str, float]
    arrivals_per_s: float = 0.0


def wanted(observed: Observed, metric: str, target: float, tolerance: float = TOLERANCE) -> int | None:
    """Replicas by one metric of type Pods; None where no pod has it."""
    if not observed.measured:
        return None
    ratio = observed.values[metric] / target
    up_with_pending = observed.pending > 0 and ratio > 1
    if not up_with_pending and not observed.missing:
        return observed.replicas if _within(ratio, tolerance) else _ceil(ratio * observed.measured)
    total, pods = observed.values[metric] * observed.measured, observed.measured + observed.missing
    if ratio < 1:  # those without a metric are taken to use the target when it would go down, nothing when up
        total += target * observed.missing
    if up_with_pending:
        pods += observed.pending
    again = total / pods / target
    if _within(again, tolerance) or (ratio < 1 < again) or (again < 1 < ratio):
        return observed.replicas
    replicas = _ceil(again * pods)
    wrong_way = replicas > observed.replicas if again < 1 else replicas < observed.replicas
    return observed.replicas if wrong_way else replicas


def wanted_by_total(replicas: int, total: float, target: float, tolerance: float = TOLERANCE) -> int:
    """Replicas by a metric of type External with an average value: the whole divided by the target."""
    return replicas if replicas and _within(total / (target * replicas), tolerance) else _ceil(total / target)


@dataclass(slots=True)
class Autoscaler:
    """One HorizontalPodAutoscaler over time; instants in seconds, not descending."""

    rules: Rules
    by_total: bool = False  # metrics are external ones, as KEDA's are
    _next_at: float = 0.0
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def tick(self, now: float, observed: Observed) -> int:
        """Replicas that there should be from now on; those that there are, between two syncs."""
        if now < self._next_at:
            return observed.replicas
        self._next_at = now + self.rules.sync_s
        current = observed.replicas
        if current == 0:  # scaling is off
            return 0
        if not self.rules.least <= current <= self.rules.most:
            replicas = min(max(current, self.rules.least), self.rules.most)
        else:
            replicas = self._limited(now, current, self._stabilized(now, current, self._by_metrics(observed)))
        if replicas != current:
            self._changes.append((now, replicas - current))
        return replicas

    def _by_metrics(self, observed: Observed) -> int:
        """The most that a metric asks for; metrics that are not there count where the others would scale up."""
        proposals = [self._by(observed, name, target) for name, target in self.rules.targets.items()]
        known = [each for each in proposals if each is not None]
        if not known or (len(known) < len(proposals) and max(known) < observed.replicas):
            return observed.replicas
        return max(known)

    def _by(self, observed: Observed, name: str, target: float) -> int | None:
        if not self.by_total:
            return wanted(observed, name, target, self.rules.tolerance)
        total = observed.values.get(name, 0.0) * observed.measured
        return wanted_by_total(observed.replicas, total, target, self.rules.tolerance)

    def _stabilized(self, now: float, current: int, desired: int) -> int:
        """The least that was wanted within the window for going up, the most within that for going down."""
        rules = self.rules
        if not self._recommended:
            self._recommended.append((now, current))  # as the controller does when it first sees a workload
        window_s = max(rules.up.stabilization_s, rules.down.stabilization_s)
        self._recommended = [each for each in self._recommended if each[0] > now - window_s]
        up = min([desired, *(n for at, n in self._recommended if at > now - rules.up.stabilization_s)])
        down = max([desired, *(n for at, n in self._recommended if at > now - rules.down.stabilization_s)])
        self._recommended.append((now, desired))
        return min(max(current, up), down)

    def _limited(self, now: float, current: int, desired: int) -> int:
        rules = self.rules
        longest_s = max(policy.period_s for each in (rules.up, rules.down) for policy in each.policies or UP.policies)
        self._changes = [each for each in self._changes if each[0] > now - longest_s]
        if desired > current:
            limit = max(up_limit(current, rules.up, self._since(now)), current)
            return min(desired, limit, rules.most)
        if desired < current:
            limit = min(down_limit(current, rules.down, self._since(now)), current)
            return max(desired, limit, rules.least)
        return desired

    def _since(self, now: float) -> "_Changes":
        return _Changes(now, self._changes)


@dataclass(frozen=True, slots=True)
class _Changes:
    now: float
    changes: Sequence[tuple[float, int]]

    def net(self, period_s: float) -> int:
        """Pods added less pods taken away within the period."""
        return sum(change for at, change in self.changes if at > self.now - period_s)


def up_limit(current: int, direction: Direction, changes: _Changes) -> int:
    """The most replicas that the policies allow now."""
    if direction.select == "Disabled":
        return current
    proposals = [_ceil(began_with + more) for began_with, more in _allowed(current, direction, changes)]
    return (min if direction.select == "Min" else max)(proposals)


def down_limit(current: int, direction: Direction, changes: _Changes) -> int:
    """The least replicas that the policies allow now."""
    if direction.select == "Disabled":
        return current
    proposals = [int(began_with - fewer) for began_with, fewer in _allowed(current, direction, changes)]
    return (max if direction.select == "Min" else min)(proposals)


def _allowed(current: int, direction: Direction, changes: _Changes) -> Iterator[tuple[int, float]]:
    """Of each policy the replicas that its period began with, and the change from them that it allows."""
    for policy in direction.policies:
        began_with = current - changes.net(policy.period_s)
        yield began_with, policy.value if policy.type == "Pods" else began_with * policy.value / 100


def _within(ratio: float, tolerance: float) -> bool:
    return 1 - tolerance <= ratio <= 1 + tolerance


def _ceil(value: float) -> int:
    return min(math.ceil(value - 1e-9), _MOST)  # 0.3 / 0.1 is 3 here too
