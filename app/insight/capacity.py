"""Owns the picture of a simulated day as PNG bytes; does not simulate it."""

import io
from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.figure import Figure

from app.insight.figures import save

_DPI: Final = 90
_HOUR_S: Final = 3600.0
_HOURS_FROM_S: Final = 2 * _HOUR_S


def capacity_day(rows: Sequence[Mapping[str, float | None]], title: str) -> bytes:
    """Rows of `second`, `offered_per_s`, `answered_per_s`, `replicas_mean`, `ready_mean`, `p50_ms`, `p99_ms` and
    `refused_share`; a latency of None is left out.
    """
    hours = (rows[-1]["second"] or 0) > _HOURS_FROM_S
    unit = _HOUR_S if hours else 1.0
    at = [(row["second"] or 0) / unit for row in rows]
    figure = Figure((8.6, 8.4), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    load, pods, latency, refused = figure.subplots(4, 1, sharex=True)
    for axes, column, label in (
        (load, "offered_per_s", "offered"),
        (load, "answered_per_s", "answered"),
        (pods, "replicas_mean", "wanted"),
        (pods, "ready_mean", "ready"),
        (latency, "p50_ms", "p50"),
        (latency, "p99_ms", "p99"),
    ):
        axes.step(at, [_number(row[column]) for row in rows], where="post", label=label)
    refused.step(at, [100 * _number(row["refused_share"]) for row in rows], where="post", color="C3")
    for axes, label in (
        (load, "Images a second"),
        (pods, "Replicas"),
        (latency, "Latency (ms)"),
        (refused, "Refused (%)"),
    ):
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        if axes is not refused:
            axes.legend(loc="upper left", fontsize="small")
    refused.set_xlabel("Hour" if hours else "Second")
    buffer = io.BytesIO()
    save(figure, buffer, _DPI)
    return buffer.getvalue()


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
