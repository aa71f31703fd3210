"""Owns the Prometheus metrics: names, labels, buckets; does not measure, others tell it."""

from collections.abc import Callable, Mapping
from typing import Final, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector

from app.domain import Confidence, ModelInfo
from app.telemetry.exposition import CounterOf, expose
from app.telemetry.process import gc_seconds, versions

# 0.5 ms to 10 s, each about 1.6 times the one before.
SECONDS: Final = (
    *(0.0005, 0.001, 0.0015, 0.0025, 0.004, 0.0065, 0.01, 0.015, 0.025, 0.04, 0.065),
    *(0.1, 0.15, 0.25, 0.4, 0.65, 1.0, 1.5, 2.5, 4.0, 6.5, 10.0),
)
IMAGES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STAGES: Final = (
    *("read", "decode", "queue", "inference", "respond"),
    *("inside_decode", "inside_queue", "inside_inference"),  # of embeddings and explanations
)
OUTCOMES: Final = ("result", "error", "cancelled")
DEADLINES_SET_BY: Final = ("server", "client")
CLOSED_BECAUSE: Final = ("idle_evicted", "idle_timeout", "header_timeout", "refused")
REFUSALS_WATCHED: Final = (  # by the alerts; code and stage
    *(("internal_error", "unknown"), ("inference_failed", "inference")),
    *(("failed", "admission"), ("overloaded", "admission")),
)

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge a series that nobody reads


class Metrics:
    """One service's metrics in a registry of their own; it is the engine's Observer too."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self.watch_total("vit_gc_seconds", "Time in which garbage was collected and nothing else ran.", gc_seconds)
        runs = versions()
        Gauge("vit_build_info", "What runs here; always 1.", [*runs], registry=registry).labels(**runs).set(1)
        self._requests = Counter("vit_requests", "HTTP requests answered.", ["route", "code"], registry=registry)
        self._duration = Histogram(
            "vit_request_duration_seconds",
            "From the request's head to the answer's last byte; outcome: answered (2xx), rejected (4xx), refused (503) "
            "or failed (any other 5xx).",
            ["route", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        stages = Histogram(
            "vit_stage_duration_seconds",
            "Where the time goes: reading the body, decoding, waiting for a batch, inference, writing the answer.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        jobs = Counter("vit_jobs", "Admitted images by how they ended.", ["outcome"], registry=registry)
        answers = Counter(
            "vit_answers",
            "Answers by their confidence; none where the model has no threshold.",
            ["confidence"],
            registry=registry,
        )
        self._deadlines = Counter(
            "vit_deadline_exceeded",
            "Images whose deadline passed, by who had set it.",
            ["set_by"],
            registry=registry,
        )
        self._refusals = Counter(
            "vit_refusals",
            "Images and requests that got an error instead, by its code and by where it was found.",
            ["code", "stage"],
            registry=registry,
        )
        self._closed = Counter("vit_connections_closed", "Connections that we ended.", ["reason"], registry=registry)
        for set_by in DEADLINES_SET_BY:
            self._deadlines.labels(set_by)
        for reason in CLOSED_BECAUSE:
            self._closed.labels(reason)
        for code, stage in REFUSALS_WATCHED:
            self._refusals.labels(code, stage)
        self._count_batches(registry)
        # Children are looked up once: a label look-up costs as much as the count itself, and series start at 0.
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._jobs = {outcome: jobs.labels(outcome) for outcome in OUTCOMES}
        self._answers = {confidence: answers.labels(confidence) for confidence in get_args(Confidence)}

    def _count_batches(self, registry: CollectorRegistry) -> None:
        self._batch = Histogram("vit_batch_size", "Images in a batch.", buckets=IMAGES, registry=registry)
        self._batch_seconds = Histogram(
            "vit_batch_duration_seconds", "A batch on the device.", buckets=SECONDS, registry=registry
        )
        busy = "Time for which lanes ran a batch, all lanes together."
        self._busy = Counter("vit_device_busy_seconds", busy, registry=registry)
        self._splits = Counter("vit_batch_splits", "Batches that failed and were tried in halves.", registry=registry)
        memory = "Batches for which the device had no memory."
        self._out_of_memory = Counter("vit_out_of_memory", memory, registry=registry)

    def stage(self, name: str, seconds: float) -> None:
        """One job or request spent `seconds` in a stage."""
        self._stages[name].observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        """A batch of `size` images ran."""
        self._batch.observe(size)
        self._batch_seconds.observe(seconds)
        self._busy.inc(seconds)

    def split(self, out_of_memory: bool) -> None:
        """A batch failed, and its halves are tried."""
        self._splits.inc()
        self._out_of_memory.inc(out_of_memory)

    def job(self, outcome: str) -> None:
        """An admitted image ended as result, error or cancelled."""
        self._jobs[outcome].inc()

    def answer(self, confidence: Confidence) -> None:
        """An answer was high or low in confidence."""
        self._answers[confidence].inc()

    def request(
        self, route: str, code: int, seconds: float, exemplar: dict[str, str] | None = None, timed: bool = True
    ) -> None:
        """An HTTP request was answered; `exemplar`: how to find this one elsewhere; `timed`: or only counted."""
        self._requests.labels(route, str(code)).inc()
        if timed:
            self._duration.labels(route, _outcome(code)).observe(seconds, exemplar)

    def refusal(self, code: str, stage: str) -> None:
        """An image, or a request as a whole, got an error of that code, found in that stage."""
        self._refusals.labels(code, stage).inc()

    def refused(self, status: int, code: str, stage: str) -> None:
        """A client was refused before its request could be understood."""
        self._requests.labels("unparsed", str(status)).inc()
        self.refusal(code, stage)

    def connection_closed(self, reason: str) -> None:
        """We ended a connection."""
        self._closed.labels(reason).inc()

    def deadline_exceeded(self, set_by_client: bool) -> None:
        """An image's deadline passed; the client's own, or ours."""
        self._deadlines.labels(DEADLINES_SET_BY[set_by_client]).inc()

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when somebody scrapes."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def watch_kinds(self, name: str, text: str, values: Mapping[str, Callable[[], float]]) -> None:
        """As `watch`, a series for each kind; without any there is no such gauge."""
        if values:
            gauge = Gauge(name, text, ["kind"], registry=self.registry)
            for kind, value in values.items():
                gauge.labels(kind).set_function(value)

    def watch_total(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A counter that is read when somebody scrapes; `name` without its `_total`."""
        self.registry.register(CounterOf(name, text, value))

    def model(self, info: ModelInfo) -> None:
        """Names what is served."""
        gauge = Gauge(
            "vit_model_info",
            "The model that is served; always 1.",
            ["name", "sha256", "device", "engine", "precision"],
            registry=self.registry,
        )
        gauge.labels(info.name, info.sha256 or "", info.device, info.engine, info.precision).set(1)
        rates = Gauge(
            "vit_model_candidate_images_per_second",
            "How fast each way to run the model was when the engine was chosen; chosen: it is this one.",
            ["engine", "precision", "lanes", "chosen"],
            registry=self.registry,
        )
        for each in info.candidates:
            if each.images_per_s is not None:
                chosen = (each.engine, each.precision, each.lanes) == (info.engine, info.precision, info.lanes)
                rates.labels(each.engine, each.precision, str(each.lanes), str(chosen).lower()).set(each.images_per_s)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Everything as text, and its content type; see `expose`."""
        return expose(self.registry, accept)


def _outcome(code: int) -> str:
    if code < 300:
        return "answered"
    return "rejected" if code < 500 else "refused" if code == 503 else "failed"
