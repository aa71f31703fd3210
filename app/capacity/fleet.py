"""Owns the pods of a simulated Deployment, by age and state; does not decide how many there are or what they do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PodTimes:
    """Seconds of a pod's life. A pod that starts is pending for `schedule_s`: node, image, init containers; then
    `start_s` without a metric until it is ready. `metric_s`: from then until the autoscaler sees one. It is paid for
    until `drain_s` after it is told to go.
    """

    schedule_s: float = 0.0
    start_s: float = 0.0
    metric_s: float = 30.0
    drain_s: float = 30.0


@dataclass(slots=True)
class _Cohort:
    """Pods that were made together."""

    made_at: float
    pods: int


class Fleet:
    """Pods in cohorts; any number costs the same. Kubernetes ends those that are not ready first, then the youngest."""

    def __init__(self, times: PodTimes, pods: int) -> None:
        """`pods` have been there for long."""
        self._times = times
        self._ready_s = times.schedule_s + times.start_s
        settled_at = -(self._ready_s + times.metric_s + 1e9)
        self._cohorts = [_Cohort(settled_at, pods)] if pods else []
        self._ending: list[tuple[float, int]] = []

    @property
    def replicas(self) -> int:
        """Pods that the Deployment wants and has made."""
        return sum(cohort.pods for cohort in self._cohorts)

    def older(self, now: float, age_s: float) -> int:
        """Pods of at least that age."""
        return sum(cohort.pods for cohort in self._cohorts if now - cohort.made_at >= age_s)

    def ready(self, now: float) -> int:
        """Pods that get requests."""
        return self.older(now, self._ready_s)

    def measured(self, now: float) -> int:
        """Pods of which the autoscaler has a metric."""
        return self.older(now, self._ready_s + self._times.metric_s)

    def pending(self, now: float) -> int:
        """Pods whose container has not started."""
        return self.replicas - self.older(now, self._times.schedule_s)

    def paid(self, now: float) -> int:
        """Pods that take up their cores, those that are ending among them."""
        self._ending = [each for each in self._ending if each[0] > now]
        return self.replicas + sum(pods for _, pods in self._ending)

    def scale(self, replicas: int, now: float) -> None:
        """Makes pods, or tells the youngest to go."""
        more = replicas - self.replicas
        if more > 0:
            self._cohorts.append(_Cohort(now, more))
        while more < 0:
            youngest = self._cohorts[-1]
            gone = min(youngest.pods, -more)
            if now - youngest.made_at >= self._times.schedule_s:
                self._ending.append((now + self._times.drain_s, gone))
            youngest.pods -= gone
            more += gone
            if not youngest.pods:
                self._cohorts.pop()
