import pytest

from app.scheduling.job import Job
from app.scheduling.policy import AdmissionPolicy, BatchPolicy, admit, is_short, plan


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


@pytest.mark.parametrize(
    ("in_flight", "timeout_s", "calm", "retry_after_s"),
    [
        (50, 30, False, None),  # 0.5 s to wait
        (51, 30, False, 0.01),
        (51, 30, True, None),  # a burst, which passes by itself
        (80, 30, True, None),  # 0.8 s, just allowed
        (90, 30, True, 0.1),  # 0.9 s: room after 0.1 s
        (60, 0.55, True, 0.05),  # would outlast the request's own timeout, burst or not
        (15, 0.001, True, None),  # always_admit
    ],
)
def test_more_is_let_in_while_it_is_but_a_burst(
    in_flight: int, timeout_s: float, calm: bool, retry_after_s: float | None
) -> None:
    policy = AdmissionPolicy(max_wait_s=0.5, always_admit=16, burst_wait_s=0.8)
    assert admit(in_flight, 0.01, timeout_s, policy, calm=calm) == pytest.approx(retry_after_s)


@pytest.mark.parametrize(
    ("decode_wait_s", "timeout_s", "calm", "retry_after_s"),
    [
        (0.5, 30, False, None),
        (0.6, 30, False, 0.1),
        (0.6, 30, True, None),
        (0.9, 30, True, 0.1),
        (0.6, 0.2, True, 0.4),
    ],
)
def test_a_large_picture_that_would_wait_for_its_decoder_is_refused_even_by_an_empty_house(
    decode_wait_s: float, timeout_s: float, calm: bool, retry_after_s: float | None
) -> None:
    policy = AdmissionPolicy(max_wait_s=0.5, always_admit=16, burst_wait_s=0.8)
    assert admit(0, 0.01, timeout_s, policy, decode_wait_s, calm) == pytest.approx(retry_after_s)


@pytest.mark.parametrize(("wait_s", "short"), [(0.0, True), (0.125, True), (0.126, False), (0.5, False)])
def test_a_queue_is_short_up_to_a_quarter_of_what_may_be_waited_for(wait_s: float, short: bool) -> None:
    assert is_short(wait_s, AdmissionPolicy(max_wait_s=0.5, burst_wait_s=9.0)) == short
