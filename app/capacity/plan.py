"""Owns putting a simulation together: a replica's table, who scales, how many there are at first; does not run it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.capacity.arrivals import Arrivals
from app.capacity.fleet import PodTimes
from app.capacity.hpa import Autoscaler, Rules
from app.capacity.keda import Keda, ScaledObject
from app.capacity.load import LoadTable, tabulate
from app.capacity.manifest import read_manifest
from app.capacity.simulate import BUSY, SCRAPE_S, Plan, Scaler
from app.capacity.times import ServiceTimes
from app.errors import SetupError

_TARGETS: Final = {BUSY: 0.6}
_SCRAPES_FOR_A_RATE: Final = 2


@dataclass(frozen=True, slots=True)
class Scaling:
    """Who scales: `none`, `hpa` or `keda`; `replicas` fixed or at first, bounds, targets by metric, or a manifest."""

    kind: str
    replicas: int | None
    least: int | None
    most: int
    targets: Mapping[str, float]
    manifest: Path | None


def plan_of(
    times: ServiceTimes, scaling: Scaling, arrivals: Arrivals, schedule_s: float, drain_s: float, seed: int
) -> Plan:
    """Everything that `simulate` needs. Raises SetupError for a manifest or bounds that cannot be used.

    Where nobody says how many replicas there are at first, it is as many as the autoscaler would have settled on.
    """
    table = tabulate(times, seed)
    pods = PodTimes(schedule_s, times.start_s, _SCRAPES_FOR_A_RATE * SCRAPE_S, drain_s)
    if scaling.kind == "none":
        assert scaling.replicas is not None
        return Plan(times, table, pods, scaling.replicas, None, seed)
    scaler: Scaler
    spec = read_manifest(scaling.manifest) if scaling.manifest else _spec(scaling)
    if isinstance(spec, ScaledObject):
        rules, scaler = spec.hpa, Keda(spec)
    else:
        rules, scaler = spec, Autoscaler(spec)
    initial = scaling.replicas or _settled(table, rules, spec.least, float(arrivals.rates[0]))
    return Plan(times, table, pods, initial, scaler, seed)


def _spec(scaling: Scaling) -> Rules | ScaledObject:
    least = scaling.least if scaling.least is not None else int(scaling.kind == "hpa")
    if least > scaling.most or (scaling.kind == "hpa" and least < 1):
        raise SetupError(f"from {least} to {scaling.most} replicas is no range that {scaling.kind} scales in")
    rules = Rules(max(least, 1), scaling.most, scaling.targets or _TARGETS)
    return rules if scaling.kind == "hpa" else ScaledObject(rules, least)


def _settled(table: LoadTable, rules: Rules, least: int, rate: float) -> int:
    loads = [table.rate_where(metric, target) for metric, target in rules.targets.items()]
    if rate <= 0:
        return least
    return min(max(math.ceil(rate / min(loads)), rules.least), rules.most)
