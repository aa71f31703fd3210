import pytest

from app.scheduling.job import Job
from app.scheduling.policy import AdmissionPolicy, BatchPolicy, admit, plan


def jobs(*deadlines: float) -> list[Job]:
    return [Job(id=i, slot=i, top_k=1, deadline_at=at) for i, at in enumerate(deadlines)]


@pytest.mark.parametrize(
    ("deadlines", "max_batch", "idle_lanes", "run", "expired"),
    [
        ([], 4, 1, [], []),
        ([9], 4, 1, [0], []),
        ([9, 9, 9, 9, 9], 4, 1, [0, 1, 2, 3], []),  # cut at the maximum
        ([9, 9, 9, 9], 4, 2, [0, 1], []),  # half is left to the other idle lane
        ([9, 9, 9], 4, 2, [0, 1], []),  # the larger half first
        ([9], 4, 2, [0], []),
        ([9] * 40, 4, 2, [0, 1, 2, 3], []),
        ([1, 9, 9], 4, 1, [1, 2], [0]),  # too late
        ([5, 9], 4, 1, [1], [0]),  # exactly now is too late
        ([1, 1, 1], 4, 1, [], [0, 1, 2]),
        ([9, 1, 9, 1, 9], 2, 1, [0, 2], [1, 3]),  # the dead do not take places of the living
    ],
)
def test_plan(deadlines: list[float], max_batch: int, idle_lanes: int, run: list[int], expired: list[int]) -> None:
    decided = plan(jobs(*deadlines), now=5, policy=BatchPolicy(max_batch), idle_lanes=idle_lanes)
    assert [job.id for job in decided.run] == run
    assert [job.id for job in decided.expired] == expired


@pytest.mark.parametrize(
    ("in_flight", "seconds_per_image", "timeout_s", "retry_after_s"),
    [
        (0, 9.0, 0.001, None),  # an empty house takes everyone
        (15, 9.0, 0.001, None),  # always_admit
        (16, 0.0, 30, None),  # nothing measured yet
        (16, 0.01, 30, None),  # 0.16 s to wait
        (50, 0.01, 30, None),  # 0.5 s, just allowed
        (60, 0.01, 30, 0.1),  # 0.6 s: room after 0.1 s
        (20, 0.01, 0.1, 0.1),  # would outlast the request's own timeout
    ],
)
def test_admit(in_flight: int, seconds_per_image: float, timeout_s: float, retry_after_s: float | None) -> None:
    policy = AdmissionPolicy(max_wait_s=0.5, always_admit=16)
    assert admit(in_flight, seconds_per_image, timeout_s, policy) == pytest.approx(retry_after_s)
