"""Owns the batch rule and the admission rule as pure functions; does not wait, lock or read a clock."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from app.scheduling.job import Job

_BURST: Final = 1.6  # times the longest wait, for a burst that passes


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How much may wait and how much runs at once, in images."""

    max_batch_size: int = 8
    max_waiting: int = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the head of the queue: `run` these now, `expired` ones are dropped."""

    run: list[Job]
    expired: list[Job]


def plan(waiting: Collection[Job], now: float, policy: BatchPolicy, idle_lanes: int) -> Plan:
    """The batch rule: what waits is the batch, oldest first, shared between the lanes that are idle.

    Jobs past their deadline among those looked at are dropped. O(batch + dropped), whatever waits behind.
    """
    alive_limit = min(policy.max_batch_size, -(-len(waiting) // max(idle_lanes, 1)))
    run: list[Job] = []
    expired: list[Job] = []
    for job in waiting:
        if job.deadline_at <= now:
            expired.append(job)
        elif len(run) < alive_limit:
            run.append(job)
        else:
            break
    return Plan(run, expired)


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """When to refuse at the door. `always_admit` images may be inside whatever the measured rate says.

    `burst_wait_s` is what may be waited for where the queue was short within the last `calm_s`: random arrivals come in
    bursts that pass by themselves, and only a queue that does not get short again is too much work.
    """

    max_wait_s: float = 0.5
    always_admit: int = 16
    burst_wait_s: float = 0.5
    calm_s: float = 1.0


def service_admission(
    max_wait_s: float, lanes: int, max_batch_size: int, max_images_per_request: int
) -> AdmissionPolicy:
    """How a service with so many lanes refuses.

    Two rounds of batches, or one request, are let in whatever the rate: below that, refusals to clients that ask again
    at once cost the lanes their cores, the measured rate sinks, and more is refused.
    """
    return AdmissionPolicy(max_wait_s, max(2 * lanes * max_batch_size, max_images_per_request), _BURST * max_wait_s)


def expected_wait_s(in_flight: int, seconds_per_image: float) -> float:
    """Seconds until everything now inside has been answered, at the measured rate."""
    return in_flight * seconds_per_image


def is_short(wait_s: float, policy: AdmissionPolicy) -> bool:
    """Whether a queue is so short that what made it longer before was a burst."""
    return wait_s <= policy.max_wait_s / 4


def admit(
    in_flight: int,
    seconds_per_image: float,
    timeout_s: float,
    policy: AdmissionPolicy,
    decode_wait_s: float = 0.0,
    calm: bool = False,
) -> float | None:
    """None to let one more image in; else the seconds after which it is worth trying again.

    Refused is what would wait longer than `max_wait_s`, `burst_wait_s` while `calm`, or than its own timeout: an answer
    that comes too late costs as much as one in time. `decode_wait_s` is what a large picture waits for those before it.
    """
    allowed_s = min(policy.burst_wait_s if calm else policy.max_wait_s, timeout_s)
    if decode_wait_s > allowed_s:
        return decode_wait_s - allowed_s
    if in_flight < policy.always_admit:
        return None
    wait_s = expected_wait_s(in_flight, seconds_per_image)
    return None if wait_s <= allowed_s else wait_s - allowed_s
