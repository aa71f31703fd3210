"""Owns the dashboard: which panels there are, in which order, and what each asks; does not talk to Grafana.

`python deploy/grafana/dashboard.py` writes vit-serve.json beside it, which Grafana loads; with `-`, to the terminal.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync
from panels import (
    OBJECTIVES,
    OF,
    SPAN,
    Panel,
    bounded,
    figure,
    gauge,
    graph,
    heat,
    listing,
    mean,
    of_objective,
    quantile,
    rate,
    rest,
    stacked,
    variable,
    with_exemplars,
    with_limits,
)

OF_CLASSIFYING: Final = 'stage!~"inside_.*"'  # the others are of explanations and embeddings, which few ask for
FILE: Final = Path(__file__).with_name("vit-serve.json")


def objectives() -> list[Panel]:
    burns = graph(
        "How fast the allowances burn",
        "1: just what the objectives allow. Alerts: 14.4 over an hour, 6 over six, 1 over three days.",
        "none",
        *((f"({of_objective(bad)}) / {OBJECTIVES[bad][1]}", bad) for bad in OBJECTIVES),
    )
    up = ("Up", "Instances that answer their metrics, of those that Prometheus knows.", "none", 1)
    of = (f"sum (up{{{OF}}})", "up"), (f"count (up{{{OF}}})", "of")
    ready = ("Ready", "Instances that take images.", "none", 1, (gauge("vit_ready"), "ready"))
    return [
        figure(
            "Answered, 3 days",
            "Of the images answered or failed by our fault; the objective is 99.9 %.",
            "percentunit",
            0.999,
            (f"1 - {of_objective('failed', '3d')}", "answered"),
        ),
        figure(
            "Within 1 s, 3 days",
            "Of the requests that were answered; the objective is 99 %. A slow upload counts.",
            "percentunit",
            0.99,
            (f"1 - {of_objective('late', '3d')}", "within 1 s"),
        ),
        with_limits(burns, (1, "yellow"), (6, "orange"), (14.4, "red")),
        figure(*up, *of),
        figure(*ready),
    ]


def traffic() -> list[Panel]:
    return [
        stacked(
            "Requests by status", "HTTP requests answered.", "reqps", (rate("vit_requests_total", "code"), "{{code}}")
        ),
        stacked(
            "Images by how they ended",
            "Of those that were let in.",
            "ops",
            (rate("vit_jobs_total", "outcome"), "{{outcome}}"),
        ),
        stacked(
            "Errors and refusals",
            "By code, and by where they were found. Ours: internal_error, inference_failed, failed.",
            "ops",
            (rate("vit_refusals_total", "code, stage"), "{{code}} ({{stage}})"),
        ),
        graph(
            "Deadlines passed",
            "By who had set them; the client's own are no fault of ours.",
            "ops",
            (rate("vit_deadline_exceeded_total", "set_by"), "{{set_by}}"),
        ),
        bounded(
            "Connections", "Open ones, and how many there may be.", "none", "vit_connections", "vit_connections_limit"
        ),
        graph(
            "Connections that we closed",
            "idle_evicted and refused: for want of room.",
            "ops",
            (rate("vit_connections_closed_total", "reason"), "{{reason}}"),
        ),
    ]


def latency() -> list[Panel]:
    histogram, answered = "vit_request_duration_seconds", 'outcome="answered"'
    percentiles = graph(
        "How long answers take",
        "From the request's head to the answer's last byte; points are single requests, by their id.",
        "s",
        *((quantile(share, histogram, more=answered), f"{share * 100:.0f} %") for share in (0.5, 0.9, 0.99)),
    )
    return [
        heat(
            "How long answers take, each",
            "Requests by duration.",
            (f"sum by (le) (increase({histogram}_bucket{{{OF}, {answered}}}{SPAN}))", "{{le}}"),
        ),
        with_exemplars(percentiles).span(12),
        stacked(
            "Where the milliseconds go",
            "Mean time in each stage: reading the body, decoding, waiting for a batch, inference, writing the answer. "
            "What a request took beside them is the rest: the event loop, waiting for a core.",
            "s",
            (mean("vit_stage_duration_seconds", "stage", OF_CLASSIFYING), "{{stage}}"),
            (rest(), "rest"),
        ).span(12),
        graph(
            "The slowest hundredth of each stage",
            "99 % are below.",
            "s",
            (quantile(0.99, "vit_stage_duration_seconds", "stage", OF_CLASSIFYING), "{{stage}}"),
        ).span(12),
    ]


def device() -> list[Panel]:
    return [
        graph(
            "Images in a batch",
            "Mean, and what is possible.",
            "none",
            (mean("vit_batch_size"), "mean"),
            (gauge("vit_max_batch_size", "max"), "limit"),
        ),
        graph(
            "A batch on the device",
            "Mean and slowest hundredth.",
            "s",
            (mean("vit_batch_duration_seconds"), "mean"),
            (quantile(0.99, "vit_batch_duration_seconds"), "99 %"),
        ),
        graph(
            "Batches that failed",
            "And were tried in halves; of these, for want of the device's memory.",
            "ops",
            (rate("vit_batch_splits_total"), "split"),
            (rate("vit_out_of_memory_total"), "out of memory"),
        ),
        graph(
            "Device and decoders busy",
            "1: every lane, or every decoding thread, is busy all the time. Autoscaling goes by the device's.",
            "percentunit",
            (f"{rate('vit_device_busy_seconds_total')} / {gauge('vit_lanes')}", "device"),
            (f"{rate('vit_decode_busy_seconds_total')} / {gauge('vit_decode_threads')}", "decoders"),
        ),
        graph(
            "Device busy by instance",
            "Uneven: the load balancer, or a machine that is slower than the others.",
            "percentunit",
            (f"rate(vit_device_busy_seconds_total{{{OF}}}{SPAN}) / vit_lanes{{{OF}}}", "{{instance}}"),
        ),
        graph(
            "Capacity left",
            "Images answered, and how many could be, at the rate measured while busy.",
            "ops",
            (rate("vit_jobs_total", more='outcome="result"'), "served"),
            (gauge("vit_images_per_second"), "possible"),
        ),
    ]


def queue() -> list[Panel]:
    return [
        graph(
            "Expected wait",
            "Of an image that came now, the longest of all instances; above the limit they refuse.",
            "s",
            (gauge("vit_expected_wait_seconds", "max"), "expected"),
            (gauge("vit_max_wait_seconds", "max"), "limit"),
        ),
        stacked(
            "Images that wait",
            "For a decoder, and for the device.",
            "none",
            (gauge("vit_decode_queue_depth"), "decoder"),
            (gauge("vit_queue_depth"), "device"),
        ),
        bounded("Slots", "Images between admission and answer.", "none", "vit_slots_in_use", "vit_slots"),
    ]


def memory() -> list[Panel]:
    return [
        bounded(
            "Request bodies",
            "Memory that they take, of what they may.",
            "bytes",
            "vit_bodies_bytes",
            "vit_bodies_limit_bytes",
        ),
        bounded(
            "Pictures being decoded",
            "Memory that large ones take, of what they may.",
            "bytes",
            "vit_decode_bytes",
            "vit_decode_limit_bytes",
        ),
        graph(
            "Process",
            "Resident memory of each instance.",
            "bytes",
            (gauge("process_resident_memory_bytes", by="instance"), "{{instance}}"),
        ),
        graph(
            "Memory of the GPU",
            "Used by whomever, and in all; empty on CPUs.",
            "bytes",
            (gauge("vit_device_memory_bytes", by="instance, kind"), "{{instance}} {{kind}}"),
        ),
        graph(
            "CPU cores",
            "Used by each instance.",
            "none",
            (rate("process_cpu_seconds_total", "instance"), "{{instance}}"),
        ),
        graph(
            "Garbage collection",
            "Share of the time in which nothing else ran.",
            "percentunit",
            (f"rate(vit_gc_seconds_total{{{OF}}}{SPAN})", "{{instance}}"),
        ),
    ]


def model() -> list[Panel]:
    return [
        listing(
            "Models", "What each instance serves; one name should have one sha256.", (f"vit_model_info{{{OF}}}", "")
        ),
        listing(
            "How fast each way to run it was",
            "When the engine was chosen; empty where there was no choice.",
            (f"vit_model_candidate_images_per_second{{{OF}}}", ""),
        ),
        graph(
            "Confidence",
            "Answers whose first score is below the model's threshold are low.",
            "ops",
            (rate("vit_answers_total", "confidence"), "{{confidence}}"),
        ),
        graph(
            "Starts",
            "Of each instance, in a quarter of an hour.",
            "none",
            (f"changes(process_start_time_seconds{{{OF}}}[15m])", "{{instance}}"),
        ),
        listing("Builds", "What runs, by version.", (f"vit_build_info{{{OF}}}", "")).span(8),
    ]


ROWS: Final = {
    "Objectives": objectives,
    "Traffic": traffic,
    "Latency": latency,
    "Batches and device": device,
    "Queue": queue,
    "Memory and process": memory,
    "Model": model,
}


def built() -> str:
    """The dashboard as JSON, the same each time."""
    board = dashboard.Dashboard("vit-serve").uid("vit-serve").tags(["vit-serve"]).readonly().timezone("browser")
    board.description("Made by deploy/grafana/dashboard.py; deploy/runbook.md says which panel tells what.")
    board.refresh("10s").time("now-1h", "now").tooltip(DashboardCursorSync.CROSSHAIR)
    board.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    board.with_variable(variable("job", "Job")).with_variable(variable("instance", "Instance"))
    ids: Iterator[int] = itertools.count(1)
    for title, panels in ROWS.items():
        board.with_row(dashboard.Row(title).id(next(ids)))
        for panel in panels():
            board.with_panel(panel.id(next(ids)))
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(board.build()) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(built())
    else:
        FILE.write_text(built(), encoding="utf-8")
