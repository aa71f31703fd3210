"""Owns the tests of spans as a collector gets them; that a process sends them, and ends, is an end-to-end test's."""

import asyncio
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

from app.errors import InferenceFailed, SetupError
from app.settings import Settings
from app.telemetry.tracing import open_tracer
from tests.api.conftest import Service, picture, service
from tests.telemetry.collector import Collector, attributes, collecting

URL = "/v1/classify"
STAGES = ["read", "decode", "queue", "inference", "respond"]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
OPEN_METRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}
Traced = Callable[[], AbstractAsyncContextManager[Service]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as opened:
        yield opened


@pytest.fixture
def traced(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Traced:
    """A service that sends its spans to the collector, all of them by the time that it is left."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Service]:
        tracer = open_tracer()
        try:
            async with service(tracer) as s:
                yield s
        finally:
            await asyncio.to_thread(tracer.close, 10)

    return opened


def only(spans: list[Span]) -> Span:
    (span,) = spans
    return span


async def test_a_request_has_a_span_a_stage_and_a_link_to_its_batch(traced: Traced, collector: Collector) -> None:
    async with traced() as s:
        sent = picture()
        answer = await s.client.post(URL, content=sent, headers={"X-Request-ID": "find-me"})
        scrape = (await s.client.get("/metrics", headers=OPEN_METRICS)).text
    request = only(collector.named("POST /v1/classify"))
    assert (request.kind, request.parent_span_id) == (Span.SPAN_KIND_SERVER, b"")
    assert request.status.code == SpanStatus.STATUS_CODE_UNSET
    assert attributes(request).items() >= {
        ("http.request.method", "POST"),
        ("http.route", URL),
        ("url.path", URL),
        ("http.response.status_code", 200),
        ("http.request.body.size", len(sent)),
        ("http.response.body.size", len(answer.content)),
        ("client.address", "127.0.0.1"),
        ("vit.request_id", "find-me"),
        ("vit.images", 1),
    }
    assert not any("top_k" in str(value) or "label" in str(value) for value in attributes(request).values())
    children = [span for span in collector.spans if span.parent_span_id == request.span_id]
    children.sort(key=lambda span: span.start_time_unix_nano)
    assert [span.name for span in children] == STAGES
    assert {span.trace_id for span in children} == {request.trace_id}
    times = [(span.start_time_unix_nano, span.end_time_unix_nano) for span in (request, *children)]
    assert all(start <= end for start, end in times)
    assert times[0][0] <= times[1][0] and times[-1][1] <= times[0][1] + 1_000_000  # a millisecond for rounding
    batch = only(collector.named("batch"))
    (link,) = children[STAGES.index("inference")].links
    assert (link.trace_id, link.span_id) == (batch.trace_id, batch.span_id)
    assert attributes(batch)["vit.batch.size"] == 1
    flags = "03"  # sampled, and of a random trace id
    assert answer.headers["traceresponse"] == f"00-{request.trace_id.hex()}-{request.span_id.hex()}-{flags}"
    exemplar = rf'# {{request_id="find-me",trace_id="{request.trace_id.hex()}"}}'
    (bucket,) = [line for line in scrape.splitlines() if exemplar in line]
    assert bucket.startswith("vit_request_duration_seconds_bucket")


async def test_stages_are_as_long_as_the_answer_says(traced: Traced, collector: Collector) -> None:
    async with traced() as s:
        timing = (await s.client.post(URL, content=picture(size=900))).json()["timing_ms"]
    for name in ("decode", "queue", "inference"):
        span = only(collector.named(name))
        assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 == pytest.approx(timing[name], abs=0.01)


async def test_images_that_ran_together_link_to_one_batch(traced: Traced, collector: Collector) -> None:
    async with traced() as s:
        files = [("image", picture((shade, 0, 0))) for shade in range(7)]
        answers = [s.client.post(URL, files=files), *(s.client.post(URL, content=picture()) for _ in range(5))]
        for answer in await asyncio.gather(*answers):
            assert answer.status_code == 200
    batches = {span.span_id: attributes(span)["vit.batch.size"] for span in collector.named("batch")}
    linked = Counter(link.span_id for span in collector.named("inference") for link in span.links)
    assert linked == batches
    assert sum(linked.values()) == 12 and max(linked.values()) == 2
    parents = {span.span_id for span in collector.named("inference")}
    assert {span.parent_span_id for span in collector.named("batch")} <= parents
    many = only([span for span in collector.named("POST /v1/classify") if attributes(span)["vit.images"] == 7])
    decodes = [span for span in collector.named("decode") if span.parent_span_id == many.span_id]
    assert sorted(attributes(span)["vit.image"] for span in decodes) == list(range(7))  # type: ignore[type-var]


async def test_a_caller_s_trace_goes_on(traced: Traced, collector: Collector) -> None:
    headers = {"traceparent": PARENT.format(flags="01"), "tracestate": "vendor=opaque"}
    async with traced() as s:
        answer = await s.client.post(URL, content=picture(), headers=headers)
    request = only(collector.named("POST /v1/classify"))
    assert request.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert request.trace_state == "vendor=opaque"
    assert answer.headers["traceresponse"].startswith("00-0af7651916cd43dd8448eb211c80319c-")


async def test_a_caller_who_is_not_sampled_is_not_here(traced: Traced, collector: Collector) -> None:
    async with traced() as s:
        answer = await s.client.post(URL, content=picture(), headers={"traceparent": PARENT.format(flags="00")})
        scrape = (await s.client.get("/metrics", headers=OPEN_METRICS)).text
    assert not collector.spans
    assert re.fullmatch("00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00", answer.headers["traceresponse"])
    assert "trace_id" not in scrape and "request_id" in scrape


@pytest.mark.parametrize("parent", ["", "00-0-0-01", PARENT.format(flags="zz"), "\xff" * 300, "0" * 5000])
async def test_a_trace_that_is_none_begins_anew(traced: Traced, collector: Collector, parent: str) -> None:
    async with traced() as s:
        headers = [(b"traceparent", parent.encode("latin-1"))]
        assert (await s.client.post(URL, content=picture(), headers=headers)).status_code == 200
    assert only(collector.named("POST /v1/classify")).parent_span_id == b""


@pytest.mark.parametrize(("sampler", "argument", "count"), [("traceidratio", "0", 0), ("always_off", "", 0)])
async def test_the_sampler_is_the_standard_one(
    traced: Traced, collector: Collector, monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, count: int
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    async with traced() as s:
        for _ in range(5):
            assert (await s.client.post(URL, content=picture())).headers["traceresponse"].endswith("-02")
    assert len(collector.spans) == count


async def test_a_share_is_sampled_whole(traced: Traced, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    async with traced() as s:
        answers = await asyncio.gather(*(s.client.post(URL, content=picture()) for _ in range(24)))
    sampled = sum(answer.headers["traceresponse"].endswith("-03") for answer in answers)
    assert 0 < sampled < 24  # by chance wrong once in eight million runs
    for name in ("POST /v1/classify", *STAGES):
        assert len(collector.named(name)) == sampled
    batches = {span.span_id for span in collector.named("batch")}
    assert all(link.span_id in batches for span in collector.named("inference") for link in span.links)


async def test_mistakes_are_the_client_s_and_failures_ours(
    traced: Traced, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced() as s:
        assert (await s.client.post(URL, content=b"nothing")).status_code == 415

        async def fails(*_: object, **__: object) -> None:
            raise InferenceFailed("the forward pass failed on this image")

        monkeypatch.setattr(s.classifier, "classify", fails)
        assert (await s.client.post(URL, content=picture())).status_code == 500
    theirs, ours = sorted(collector.named("POST /v1/classify"), key=lambda span: span.start_time_unix_nano)
    assert theirs.status.code == SpanStatus.STATUS_CODE_UNSET
    assert attributes(theirs)["error.type"] == "not_an_image"
    assert ours.status.code == SpanStatus.STATUS_CODE_ERROR
    assert attributes(ours)["error.type"] == "inference_failed"
    assert attributes(ours)["vit.error.cause"] == "the forward pass failed on this image"


async def test_probes_and_scrapes_are_no_traces(traced: Traced, collector: Collector) -> None:
    async with traced() as s:
        for path in ("/livez", "/readyz", "/metrics", "/nowhere"):
            assert "traceresponse" not in (await s.client.get(path)).headers
        assert "traceresponse" in (await s.client.get("/v1/model")).headers
    assert [span.name for span in collector.spans] == ["GET /v1/model"]


@pytest.mark.parametrize(("name", "expected"), [(None, "vit-serve"), ("birds", "birds")])
async def test_who_it_is_says_the_environment(
    traced: Traced, collector: Collector, monkeypatch: pytest.MonkeyPatch, name: str | None, expected: str
) -> None:
    if name:
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=vit-0")
    async with traced() as s:
        await s.client.post(URL, content=picture())
    assert collector.resource.items() >= {("service.name", expected), ("k8s.pod.name", "vit-0")}
    assert "service.version" in collector.resource


async def test_without_a_tracer_there_is_nothing_of_it() -> None:
    async with service() as s:
        assert "traceresponse" not in (await s.client.post(URL, content=picture())).headers


@pytest.mark.parametrize("missing", ["opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"])
def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delitem(sys.modules, "app.telemetry.spans", raising=False)
    for name in [name for name in sys.modules if name.startswith(missing)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SetupError, match=r"pip install 'vit-serve\[otel\]'"):
        open_tracer()


def test_what_the_variables_say_has_to_make_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-5")
    with pytest.raises(SetupError, match="OTEL_.*positive"):
        open_tracer()


def test_nothing_is_imported_for_it_by_itself() -> None:
    assert Settings().tracing == "off"
    ours = ("opentelemetry.sdk", "opentelemetry.exporter", "app.telemetry.spans")
    code = f"import sys, app.api.server; print([name for name in sys.modules if name.startswith({ours})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
