"""Owns the charts of a load as SVG, to be put into a page; does not compute what they show."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_SIZE: Final = (8.6, 3.0)
# Letters stay text, and the same figures make the same file.
_SETTINGS: Final[dict[Any, Any]] = {"svg.fonttype": "none", "svg.hashsalt": "load", "font.family": "sans-serif"}
_RED: Final = "C3"


def load_charts(document: Mapping[str, Any]) -> list[str]:
    """The charts of `app.load.document.document`, those first that say most; what was not measured has none."""
    run, search = document["run"], document["search"]
    with matplotlib.rc_context(_SETTINGS):
        charts = [_search(search["steps"], search["rate"])] if search and search["steps"] else []
        if run["curve"]:
            charts += [_curve(run["curve"], run["deadline_ms"]), _over_time(run["over_time"])]
        if stages := {name: each["mean"] for name, each in run["server"]["stages_ms"].items() if name != "total"}:
            charts.append(_bars(stages, "Where the server spent its time", "Mean (ms)"))
        if batches := run["server"]["batches"]:
            charts.append(_bars(batches, "Images in a batch, at most", "Batches"))
        return charts


def _search(steps: Sequence[Mapping[str, Any]], peak: float | None) -> str:
    figure = Figure(_SIZE, layout="constrained")
    goodput, latency = figure.subplots(1, 2)
    ascending = sorted(steps, key=lambda step: step["rate"])
    rates = [step["rate"] for step in ascending]
    goodput.plot(rates, rates, color="grey", linestyle="--", linewidth=1, label="all that is sent")
    goodput.plot(rates, [step["figures"]["goodput_per_s"] for step in ascending], marker="o", label="answered in time")
    latencies = [step["figures"]["latency_ms"] or {} for step in ascending]
    for name in ("p50", "p99"):
        latency.plot(rates, [each.get(name, math.nan) for each in latencies], marker="o", label=name)
    _name(goodput, "Goodput", "Sent a second", "Answered a second")
    _name(latency, "Latency", "Sent a second", "Milliseconds")
    latency.set_yscale("log")
    for axes in (goodput, latency):
        if peak is not None:
            axes.axvline(peak, color=_RED, linewidth=1.2, label=f"the highest that held, {peak:,.1f}/s")
        axes.legend(fontsize="small")
    return _svg(figure)


def _curve(curve: Sequence[tuple[float, float]], deadline_ms: float | None) -> str:
    """By percentile, on an axis on which 90, 99 and 99.9 % are equally far apart."""
    figure = Figure(_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.step([1 / (1 - share) for share, _ in curve], [ms for _, ms in curve], where="post")
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 10, 100, 1000, 10000], ["0", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"])
    axes.minorticks_off()
    _name(axes, "Latency by percentile", "Share of the answers that took no longer", "Milliseconds")
    if deadline_ms is not None and deadline_ms < 3 * curve[-1][1]:
        axes.axhline(deadline_ms, color=_RED, linewidth=1.2, label="deadline")
        axes.legend(fontsize="small")
    _from_zero(axes)
    return _svg(figure)


def _over_time(rows: Sequence[Mapping[str, Any]]) -> str:
    figure = Figure((_SIZE[0], 4.4), layout="constrained")
    rate, latency = figure.subplots(2, 1, sharex=True)
    at = [row["second"] for row in rows]
    for column, label, colour in (
        ("answered_per_s", "answered", "C0"),
        ("refused_per_s", "refused", "C1"),
        ("errors_per_s", "failed", _RED),
    ):
        if any(row[column] for row in rows):
            rate.plot(at, [row[column] for row in rows], marker=".", label=label, color=colour)
    for column, label in (("p50_ms", "p50"), ("p99_ms", "p99")):
        latency.plot(at, [math.nan if row[column] is None else row[column] for row in rows], marker=".", label=label)
    _name(rate, "Second by second", "", "Requests a second")
    _name(latency, "", "Second", "Latency (ms)")
    for axes in (rate, latency):
        _from_zero(axes)
        axes.legend(fontsize="small")
    return _svg(figure)


def _bars(values: Mapping[str, float], title: str, unit: str) -> str:
    figure = Figure((_SIZE[0], 0.9 + 0.3 * len(values)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(list(values), list(values.values()), 0.7)
    axes.bar_label(bars, fmt="{:,.3g}", padding=3, fontsize="small")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    _name(axes, title, unit, "")
    return _svg(figure)


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize="medium", parse_math=False)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def _from_zero(axes: Axes) -> None:
    highest = axes.dataLim.ymax
    axes.set_ylim(0, 1.08 * highest if 0 < highest < math.inf else 1)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
