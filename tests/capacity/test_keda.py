"""Owns the tests of capacity/keda.py against what KEDA's reference says."""

from app.capacity.hpa import Observed, Rules
from app.capacity.keda import Keda, ScaledObject


def seen(replicas: int, arrivals: float, busy: float = 0.5) -> Observed:
    return Observed(replicas, replicas, 0, 0, {"busy": busy}, arrivals)


def spec(**changes: object) -> ScaledObject:
    return ScaledObject(Rules(1, 10, {"busy": 0.5}), **changes)  # type: ignore[arg-type]


def test_it_wakes_at_the_next_poll_once_the_trigger_is_above_its_activation():
    keda = Keda(spec(activation_per_s=5.0))
    assert keda.tick(0, seen(0, 0)) == 0
    assert keda.tick(10, seen(0, 100)) == 0  # not polled before 30 s
    assert keda.tick(30, seen(0, 5)) == 0  # not above 5
    assert keda.tick(60, seen(0, 6)) == 1


def test_it_wakes_to_its_least():
    keda = Keda(spec(least=3, idle=0))
    assert keda.tick(0, seen(0, 1)) == 3


def test_it_rests_after_the_cooldown_since_it_was_last_active():
    keda = Keda(spec(cooldown_s=300))
    assert keda.tick(0, seen(1, 10)) == 1
    replicas = [keda.tick(at, seen(1, 0)) for at in range(30, 331, 30)]
    assert replicas == [1] * 10 + [0]  # 300 s are not yet more than the cooldown, 330 s are


def test_it_never_rests_with_a_least_of_one():
    keda = Keda(spec(least=1))
    assert all(keda.tick(at, seen(1, 0)) == 1 for at in range(0, 3000, 30))


def test_between_rest_and_most_its_hpa_decides_by_the_whole():
    keda = Keda(spec())
    assert keda.tick(0, seen(2, 10, busy=0.9)) == 4  # 1.8 / 0.5
    assert keda.tick(5, seen(4, 10, busy=0.9)) == 4  # the HPA syncs every 15 s, whatever the polling interval
    assert keda.tick(15, seen(4, 10, busy=0.9)) == 8
