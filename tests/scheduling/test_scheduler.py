import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.errors import Draining, Overloaded
from app.scheduling.job import Job
from app.scheduling.policy import BatchPolicy
from app.scheduling.scheduler import Scheduler
from tests.fakes import FakeClock


def job(number: int, deadline_at: float = 1e9) -> Job:
    return Job(id=number, slot=number, top_k=1, deadline_at=deadline_at)


def test_hands_out_in_order_and_stamps_the_arrival() -> None:
    clock = FakeClock(7)
    scheduler = Scheduler(BatchPolicy(max_batch_size=2), clock)
    for number in range(3):
        scheduler.submit(job(number))
        clock.advance(1)
    first = scheduler.next_batch()
    assert first is not None
    assert [j.id for j in first.run] == [0, 1]
    assert [j.submitted_at for j in first.run] == [7, 8]
    assert len(scheduler) == 1


def test_refuses_when_full_and_when_closed() -> None:
    scheduler = Scheduler(BatchPolicy(max_waiting=1))
    scheduler.submit(job(0))
    with pytest.raises(Overloaded):
        scheduler.submit(job(1))
    scheduler.close()
    with pytest.raises(Draining):
        scheduler.submit(job(2))
    cut = scheduler.next_batch()
    assert cut is not None and [j.id for j in cut.run] == [0]  # what was accepted is still handed out
    assert scheduler.next_batch() is None
    assert scheduler.next_batch() is None


def test_a_cancelled_job_comes_out_once() -> None:
    scheduler = Scheduler(BatchPolicy())
    scheduler.submit(job(0))
    scheduler.submit(job(1))
    taken = scheduler.cancel(0)
    assert taken is not None and taken.id == 0
    assert scheduler.cancel(0) is None
    cut = scheduler.next_batch()
    assert cut is not None and [j.id for j in cut.run] == [1]
    assert scheduler.cancel(1) is None


def test_an_idle_lane_sleeps_until_a_job_comes() -> None:
    scheduler = Scheduler(BatchPolicy())
    got: list[int] = []

    def lane() -> None:
        while (cut := scheduler.next_batch()) is not None:
            got.extend(j.id for j in cut.run)

    thread = threading.Thread(target=lane)
    started_cpu = time.process_time()
    thread.start()
    time.sleep(0.2)
    assert time.process_time() - started_cpu < 0.1  # blocked, not polling
    scheduler.submit(job(5))
    scheduler.close()
    thread.join(5)
    assert not thread.is_alive() and got == [5]


def test_abandon_wakes_lanes_and_returns_what_waits() -> None:
    scheduler = Scheduler(BatchPolicy())
    scheduler.submit(job(0))
    assert [j.id for j in scheduler.abandon()] == [0]
    assert scheduler.next_batch() is None


class SchedulerMachine(RuleBasedStateMachine):
    """Any order of submitting, leaving, cutting, waiting and closing: each job comes out exactly once."""

    @initialize(max_batch=st.integers(1, 5), max_waiting=st.integers(1, 12))
    def begin(self, max_batch: int, max_waiting: int) -> None:
        self.clock = FakeClock()
        self.policy = BatchPolicy(max_batch, max_waiting)
        self.scheduler = Scheduler(self.policy, self.clock)
        self.waiting: list[Job] = []
        self.out: set[int] = set()
        self.count = 0
        self.closed = False

    def leave(self, gone: Job) -> None:
        assert gone.id not in self.out
        self.out.add(gone.id)
        self.waiting.remove(gone)

    @rule(timeout_s=st.floats(0, 5))
    def submit(self, timeout_s: float) -> None:
        new = job(self.count, self.clock.now + timeout_s)
        self.count += 1
        if self.closed:
            with pytest.raises(Draining):
                self.scheduler.submit(new)
        elif len(self.waiting) == self.policy.max_waiting:
            with pytest.raises(Overloaded):
                self.scheduler.submit(new)
        else:
            self.scheduler.submit(new)
            self.waiting.append(new)

    @rule(pick=st.integers(0, 40))
    def cancel(self, pick: int) -> None:
        expected = next((j for j in self.waiting if j.id == pick), None)
        assert self.scheduler.cancel(pick) is expected
        if expected:
            self.leave(expected)

    @rule(seconds=st.floats(0, 3))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.waiting)
    @rule()
    def cut(self) -> None:
        before = list(self.waiting)
        decided = self.scheduler.next_batch()
        assert decided is not None
        assert len(decided.run) <= self.policy.max_batch_size
        assert decided.run or decided.expired
        assert all(j.deadline_at > self.clock.now for j in decided.run)
        assert all(j.deadline_at <= self.clock.now for j in decided.expired)
        alive = [j for j in before if j.deadline_at > self.clock.now]
        assert decided.run == alive[: len(decided.run)]  # first come, first served
        for gone in [*decided.run, *decided.expired]:
            self.leave(gone)

    @rule()
    def close(self) -> None:
        self.scheduler.close()
        self.closed = True

    @invariant()
    def counts(self) -> None:
        assert len(self.scheduler) == len(self.waiting)


TestSchedulerMachine = SchedulerMachine.TestCase


@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 60))
def test_several_lanes_share_everything_and_lose_nothing(max_batch: int, lanes: int, count: int) -> None:
    scheduler = Scheduler(BatchPolicy(max_batch, max_waiting=100))
    got: list[list[int]] = [[] for _ in range(lanes)]

    def lane(mine: list[int]) -> None:
        while (cut := scheduler.next_batch()) is not None:
            mine.extend(j.id for j in cut.run)

    threads = [threading.Thread(target=lane, args=(mine,)) for mine in got]
    for thread in threads:
        thread.start()
    for number in range(count):
        scheduler.submit(job(number))
    scheduler.close()
    for thread in threads:
        thread.join(10)
    assert sorted(sum(got, [])) == list(range(count))
