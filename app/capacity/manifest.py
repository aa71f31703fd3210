"""Owns reading an autoscaler from the JSON of its Kubernetes manifest; does not scale anything."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.capacity.hpa import DOWN, SYNC_S, TOLERANCE, UP, Direction, Policy, Rules
from app.capacity.keda import ScaledObject
from app.capacity.simulate import BUSY, WAIT
from app.capacity.times import read_json
from app.errors import SetupError, printable

_SUFFIXES: Final = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9}
_WAKING: Final = "requests"


class _Wrong(ValueError):
    """What a manifest says that cannot be simulated."""


def read_manifest(path: Path) -> Rules | ScaledObject:
    """A HorizontalPodAutoscaler (autoscaling/v2) or ScaledObject (keda.sh), as `kubectl … -o json` writes them.

    A metric, or a trigger's query, counts as busy lanes or as expected wait by the word `busy` or `wait` in its name.
    Raises SetupError in one line.
    """
    document = read_json(path)
    try:
        kind = document["kind"]
        if kind == "HorizontalPodAutoscaler":
            return _hpa(document["spec"])
        if kind == "ScaledObject":
            return _scaled_object(document["spec"])
        raise _Wrong(f"its kind is {kind!r}; HorizontalPodAutoscaler or ScaledObject can be simulated")
    except _Wrong as error:
        raise SetupError(printable(f"{path}: {error}")) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"{type(error).__name__}: {error}"
        raise SetupError(printable(f"{path}: it is no such manifest as Kubernetes takes ({what})")) from error


def _hpa(spec: Mapping[str, Any]) -> Rules:
    targets = {}
    for metric in spec["metrics"]:
        if metric["type"] not in ("Pods", "External", "Object"):
            raise _Wrong(f"a metric of type {metric['type']!r} cannot be simulated; one of type Pods can")
        body = metric[metric["type"].lower()]
        name = body["metric"]["name"]
        if "averageValue" not in body["target"]:
            raise _Wrong(f"the target of {name!r} should be an averageValue")
        targets[_meant(name)] = _quantity(body["target"]["averageValue"])
    return _rules(int(spec.get("minReplicas", 1)), int(spec["maxReplicas"]), targets, spec.get("behavior"))


def _scaled_object(spec: Mapping[str, Any]) -> ScaledObject:
    targets, activation = {}, 0.0
    for trigger in spec["triggers"]:
        metadata = trigger["metadata"]
        if trigger["type"] != "prometheus":
            raise _Wrong(f"a trigger of type {trigger['type']!r} cannot be simulated; one of type prometheus can")
        if _WAKING in metadata["query"] and not re.search("busy|wait", metadata["query"]):
            activation = float(metadata.get("activationThreshold", 0))
            continue
        targets[_meant(metadata["query"])] = _quantity(metadata["threshold"])
    behavior = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior")
    least, idle = int(spec.get("minReplicaCount", 0)), spec.get("idleReplicaCount")
    return ScaledObject(
        _rules(max(least, 1), int(spec.get("maxReplicaCount", 100)), targets, behavior),
        least,
        None if idle is None else int(idle),
        float(spec.get("pollingInterval", 30)),
        float(spec.get("cooldownPeriod", 300)),
        activation,
    )


def _rules(least: int, most: int, targets: Mapping[str, float], behavior: Mapping[str, Any] | None) -> Rules:
    if not targets:
        raise _Wrong("it names no metric of busy lanes or expected wait")
    if any(target <= 0 for target in targets.values()):
        raise _Wrong("a target should be above 0")
    if not 1 <= least <= most:
        raise _Wrong(f"from {least} to {most} replicas is no range")
    ways = behavior or {}
    up, down = _direction(ways.get("scaleUp"), UP), _direction(ways.get("scaleDown"), DOWN)
    return Rules(least, most, targets, up, down, TOLERANCE, SYNC_S)


def _direction(given: Mapping[str, Any] | None, usual: Direction) -> Direction:
    if given is None:
        return usual
    policies = tuple(
        Policy(_policy_type(each["type"]), int(each["value"]), float(each["periodSeconds"]))
        for each in given.get("policies") or ()
    )
    select: Any = given.get("selectPolicy") or "Max"
    if select not in ("Max", "Min", "Disabled"):
        raise _Wrong(f"selectPolicy is {select!r}, and should be Max, Min or Disabled")
    return Direction(
        policies or usual.policies, float(given.get("stabilizationWindowSeconds", usual.stabilization_s)), select
    )


def _policy_type(given: str) -> Any:
    if given not in ("Pods", "Percent"):
        raise _Wrong(f"a policy's type is {given!r}, and should be Pods or Percent")
    return given


def _meant(name: str) -> str:
    for metric in (BUSY, WAIT):
        if metric in name.lower():
            return metric
    raise _Wrong(f"the metric {name[:80]!r} cannot be simulated: its name has neither `busy` nor `wait` in it")


def _quantity(text: object) -> float:
    match = re.fullmatch(r"([0-9.]+(?:[eE]-?\d+)?)([numkMG]?)", str(text))
    if match is None:
        raise _Wrong(f"{str(text)[:40]!r} is no quantity")
    return float(match[1]) * _SUFFIXES[match[2]]
