"""Owns the rules by which KEDA wakes a workload from nothing and puts it back; the rest is its HPA's, not its own."""

from dataclasses import dataclass, replace

from app.capacity.hpa import Autoscaler, Observed, Rules


@dataclass(frozen=True, slots=True)
class ScaledObject:
    """KEDA's fields, with its defaults; `hpa` is the HorizontalPodAutoscaler that it makes.

    The trigger that wakes it is the arrivals of the front door, images a second: a pod that is not there has no metric.
    """

    hpa: Rules
    least: int = 0
    idle: int | None = None
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    activation_per_s: float = 0.0


class Keda:
    """One ScaledObject over time. Its HPA sees the metrics as external ones with an average value."""

    def __init__(self, spec: ScaledObject) -> None:
        self._spec = spec
        self._hpa = Autoscaler(replace(spec.hpa, least=max(spec.least, 1)), by_total=True)
        self._next_at = 0.0
        self._active_at = 0.0

    def tick(self, now: float, observed: Observed) -> int:
        """Replicas that there should be from now on."""
        if now >= self._next_at:
            self._next_at = now + self._spec.polling_s
            if (replicas := self._polled(now, observed)) is not None:
                return replicas
        floor = self._spec.idle
        if observed.replicas == 0 or (floor is not None and observed.replicas == floor < max(self._spec.least, 1)):
            return observed.replicas  # the operator alone wakes it
        return self._hpa.tick(now, observed)

    def _polled(self, now: float, observed: Observed) -> int | None:
        """What the operator does itself; None to leave it to the HPA."""
        spec, rest = self._spec, self._spec.idle
        if observed.arrivals_per_s > spec.activation_per_s:
            self._active_at = now
            asleep = observed.replicas == 0 or (rest is not None and observed.replicas <= rest)
            return max(spec.least, 1) if asleep else None
        may_rest = rest is not None or spec.least == 0
        if may_rest and observed.replicas > (rest or 0) and now - self._active_at > spec.cooldown_s:
            return rest or 0
        return None
