import pytest

from app.telemetry.metrics import CLOSED_BECAUSE, Metrics
from tests.telemetry.test_metrics import sample


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (200, "answered"),
        (204, "answered"),
        (400, "rejected"),
        (499, "rejected"),
        (500, "failed"),
        (503, "refused"),
        (504, "failed"),
    ],
)
def test_only_answers_count_for_the_time_that_answers_take(code: int, outcome: str) -> None:
    metrics = Metrics()
    metrics.request("/v1/classify", code, 0.02)
    counts = {
        name: sample(metrics, "vit_request_duration_seconds_count", route="/v1/classify", outcome=name) or 0
        for name in ("answered", "rejected", "refused", "failed")
    }
    assert counts == {"answered": 0, "rejected": 0, "refused": 0, "failed": 0, outcome: 1}


def test_connections_that_we_end_begin_at_zero() -> None:
    metrics = Metrics()
    assert [sample(metrics, "vit_connections_closed_total", reason=reason) for reason in CLOSED_BECAUSE] == [0] * 4
