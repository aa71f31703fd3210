from app.domain import Candidate, ModelInfo, PreprocessSpec
from app.telemetry.metrics import SECONDS, Metrics


def sample(metrics: Metrics, series: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(series, labels)


def test_names_labels_and_values() -> None:
    metrics = Metrics()
    metrics.request("/v1/classify", 200, 0.02)
    metrics.request("/v1/classify", 503, 0.001)
    metrics.stage("decode", 0.003)
    metrics.batch(3)
    metrics.job("result")
    metrics.answer("low")
    metrics.watch("vit_ready", "Whether.", lambda: True)
    metrics.model(
        ModelInfo(
            *("n", "v", 1, ("a",), PreprocessSpec(), "ab12", "cpu", "bfloat16"),
            engine="openvino",
            lanes=2,
            candidates=(
                Candidate("openvino", "bfloat16", 2, 90.0),
                Candidate("torch", "bfloat16", 2, 50.0),
                Candidate("openvino", "float32", 2, None, "not measured"),
            ),
        )
    )
    assert sample(metrics, "vit_requests_total", route="/v1/classify", code="200") == 1
    assert sample(metrics, "vit_requests_total", route="/v1/classify", code="503") == 1
    for outcome in ("answered", "refused"):
        labels = {"route": "/v1/classify", "outcome": outcome}
        assert sample(metrics, "vit_request_duration_seconds_count", **labels) == 1
        assert sample(metrics, "vit_request_duration_seconds_bucket", **labels, le="0.025") == 1
    metrics.refused(431)
    assert sample(metrics, "vit_requests_total", route="unparsed", code="431") == 1
    metrics.connection_closed("idle_evicted")
    assert sample(metrics, "vit_connections_closed_total", reason="idle_evicted") == 1
    assert sample(metrics, "vit_stage_duration_seconds_sum", stage="decode") == 0.003
    assert sample(metrics, "vit_batch_size_bucket", le="2.0") == 0
    assert sample(metrics, "vit_batch_size_bucket", le="4.0") == 1
    assert sample(metrics, "vit_jobs_total", outcome="result") == 1
    assert sample(metrics, "vit_answers_total", confidence="low") == 1
    assert sample(metrics, "vit_answers_total", confidence="high") == 0
    assert sample(metrics, "vit_ready") == 1
    info = {"name": "n", "sha256": "ab12", "device": "cpu", "engine": "openvino", "precision": "bfloat16"}
    assert sample(metrics, "vit_model_info", **info) == 1
    rates = {
        labels: sample(
            metrics,
            "vit_model_candidate_images_per_second",
            engine=labels[0],
            precision=labels[1],
            lanes="2",
            chosen=chosen,
        )
        for labels, chosen in (
            (("openvino", "bfloat16"), "true"),
            (("torch", "bfloat16"), "false"),
            (("openvino", "float32"), "false"),
        )
    }
    assert list(rates.values()) == [90.0, 50.0, None]


def test_series_begin_at_zero() -> None:
    metrics = Metrics()
    for outcome in ("result", "error", "cancelled"):
        assert sample(metrics, "vit_jobs_total", outcome=outcome) == 0
    for set_by in ("client", "server"):
        assert sample(metrics, "vit_deadline_exceeded_total", set_by=set_by) == 0
    for stage in ("read", "decode", "queue", "inference", "respond"):
        assert sample(metrics, "vit_stage_duration_seconds_count", stage=stage) == 0


def test_buckets_reach_from_half_a_millisecond_to_ten_seconds() -> None:
    assert (SECONDS[0], SECONDS[-1]) == (0.0005, 10.0)
    assert all(1 < after / before <= 2 for before, after in zip(SECONDS, SECONDS[1:], strict=False))


def test_two_services_do_not_share_counts() -> None:
    one, other = Metrics(), Metrics()
    one.job("error")
    assert sample(other, "vit_jobs_total", outcome="error") == 0


def test_text_format() -> None:
    text = Metrics().render().decode()
    assert "# TYPE vit_jobs_total counter" in text
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text
