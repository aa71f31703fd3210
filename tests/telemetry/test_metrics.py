import gc

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from app.domain import Candidate, ModelInfo, PreprocessSpec
from app.telemetry.metrics import SECONDS, Metrics
from app.telemetry.process import gc_seconds


def sample(metrics: Metrics, series: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(series, labels)


def test_names_labels_and_values() -> None:
    metrics = Metrics()
    metrics.request("/v1/classify", 200, 0.02)
    metrics.request("/v1/classify", 503, 0.001)
    metrics.stage("decode", 0.003)
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
    metrics.refused(431, "header_too_large", "head")
    assert sample(metrics, "vit_requests_total", route="unparsed", code="431") == 1
    assert sample(metrics, "vit_refusals_total", code="header_too_large", stage="head") == 1
    metrics.connection_closed("idle_evicted")
    assert sample(metrics, "vit_connections_closed_total", reason="idle_evicted") == 1
    assert sample(metrics, "vit_stage_duration_seconds_sum", stage="decode") == 0.003
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


def test_batches_are_counted_by_size_time_and_failure() -> None:
    metrics = Metrics()
    metrics.batch(3, 0.25)
    metrics.batch(1, 0.5)
    metrics.split(out_of_memory=True)
    metrics.split(out_of_memory=False)
    assert sample(metrics, "vit_batch_size_bucket", le="2.0") == 1
    assert sample(metrics, "vit_batch_size_bucket", le="4.0") == 2
    assert sample(metrics, "vit_batch_duration_seconds_bucket", le="0.25") == 1
    assert sample(metrics, "vit_device_busy_seconds_total") == 0.75
    assert (sample(metrics, "vit_batch_splits_total"), sample(metrics, "vit_out_of_memory_total")) == (2, 1)


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
    text, kind = Metrics().render()
    assert kind.startswith("text/plain")
    for line in (
        b"# TYPE vit_jobs_total counter",
        b"# TYPE process_resident_memory_bytes gauge",
        b"# TYPE vit_gc_seconds_total counter",
        b"# TYPE python_gc_collections_total counter",
        b'vit_build_info{openvino="',
    ):
        assert text.count(b"\n" + line) == 1, line
    assert b"_created" not in text and b"# EOF" not in text


def test_openmetrics_has_exemplars_and_one_end() -> None:
    metrics = Metrics()
    metrics.request("/v1/classify", 200, 0.02, {"request_id": "abc"})
    metrics.request("/livez", 200, 0.02, {"request_id": "def"}, timed=False)
    text, kind = metrics.render("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n") and text.count(b"# EOF") == 1
    assert text.count(b'# {request_id="abc"} 0.02') == 1
    assert b"def" not in text  # probes are counted, not timed
    assert [family.name for family in text_string_to_metric_families(text.decode())].count("vit_requests") == 1
    assert b"request_id" not in metrics.render()[0]


def test_what_others_count_is_read_at_a_scrape() -> None:
    metrics, counts = Metrics(), iter((1.0, 2.5))
    metrics.watch_total("vit_things", "Things.", lambda: next(counts))
    metrics.watch_kinds("vit_kinds", "Kinds.", {"a": lambda: 1.0, "b": lambda: 2.0})
    metrics.watch_kinds("vit_none", "None.", {})
    text = metrics.render()[0]
    assert b"vit_things_total 1.0" in text and b'vit_kinds{kind="b"} 2.0' in text and b"vit_none" not in text
    assert b"vit_things_total 2.5" in metrics.render()[0]


def test_the_garbage_collectors_time_grows() -> None:
    gc_seconds()
    gc.collect()
    before = gc_seconds()
    gc.collect()
    assert gc_seconds() > before > 0
