"""Owns how a panel is written: its query, its look and its size; does not know which panels there are."""

from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
OF: Final = 'job=~"$job", instance=~"$instance"'
SPAN: Final = "[$__rate_interval]"
HEIGHT: Final = 8
OBJECTIVES: Final = {"failed": ("asked", 0.001), "late": ("answered", 0.01)}  # of deploy/prometheus/alerts.yml

Query = tuple[str, str]  # PromQL, and the name of its series
Panel = Any  # the library's builders have the methods in common, and no type


def rate(metric: str, by: str = "", more: str = "") -> str:
    """What a counter counts a second, of all instances together."""
    labels = f"{OF}, {more}" if more else OF
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{labels}}}{SPAN}))"


def mean(histogram: str, by: str = "", more: str = "") -> str:
    """The mean of what a histogram observed."""
    return f"{rate(f'{histogram}_sum', by, more)} / {rate(f'{histogram}_count', by, more)}"


def rest() -> str:
    """The mean of what answered requests took beside all stages of their images."""
    answered = 'outcome="answered"'
    took, requests = (rate(f"vit_request_duration_seconds_{each}", more=answered) for each in ("sum", "count"))
    return f"clamp_min (({took} - {rate('vit_stage_duration_seconds_sum')}) / {requests}, 0)"


def quantile(share: float, histogram: str, by: str = "", more: str = "") -> str:
    """What `share` of what a histogram observed is below."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', ', '.join(filter(None, (by, 'le'))), more)})"


def gauge(name: str, how: str = "sum", by: str = "") -> str:
    """A gauge of all instances together."""
    return f"{how}{f' by ({by})' if by else ''} ({name}{{{OF}}})"


def of_objective(bad: str, window: str = "") -> str:
    """The share of `bad` in what counts, from the recorded rates: now, or over a window."""
    return " / ".join(
        f'sum (avg_over_time(job:vit_{each}:rate5m{{job=~"$job"}}[{window}]))'
        if window
        else f'sum (job:vit_{each}:rate5m{{job=~"$job"}})'
        for each in (bad, OBJECTIVES[bad][0])
    )


def asking(panel: Panel, title: str, text: str, queries: tuple[Query, ...]) -> Panel:
    """Gives a panel its title, its explanation and its queries."""
    panel.title(title).description(text).datasource(SOURCE).height(HEIGHT).span(8)
    for letter, (expr, legend) in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(
            prometheus.Dataquery().ref_id(letter).expr(expr).legend_format(legend).datasource(SOURCE).range()
        )
    return panel


def graph(title: str, text: str, unit: str, *queries: Query) -> Panel:
    """Lines over time."""
    panel = asking(timeseries.Panel(), title, text, queries).unit(unit).min(0).show_points(VisibilityMode.NEVER)
    return panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))


def stacked(title: str, text: str, unit: str, *queries: Query) -> Panel:
    """As `graph`, one upon the other."""
    return (
        graph(title, text, unit, *queries).fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    )


def bounded(title: str, text: str, unit: str, used: str, limit: str) -> Panel:
    """Two gauges: what is used, and what may be."""
    return graph(title, text, unit, (gauge(used), "used"), (gauge(limit), "limit"))


def figure(title: str, text: str, unit: str, good: float, *queries: Query) -> Panel:
    """One number, green from `good` on."""
    steps = [Threshold(None, "red"), Threshold(good, "green")]
    panel = asking(stat.Panel(), title, text, queries).unit(unit)
    return panel.thresholds(dashboard.ThresholdsConfig().steps(steps)).span(4)


def listing(title: str, text: str, *queries: Query) -> Panel:
    """The labels of a metric, now."""
    panel = asking(table.Panel(), title, text, ())
    for expr, _ in queries:
        query = prometheus.Dataquery().ref_id("A").expr(expr).datasource(SOURCE).instant()
        panel.with_target(query.format(PromQueryFormat.TABLE))
    hidden = {"Time": True, "__name__": True, "job": True}
    return panel.with_transformation(DataTransformerConfig("organize", options={"excludeByName": hidden})).span(12)


def heat(title: str, text: str, query: Query) -> Panel:
    """How often which bucket of a histogram was met."""
    panel = asking(heatmap.Panel(), title, text, ())
    ask = prometheus.Dataquery().ref_id("A").expr(query[0]).legend_format(query[1]).datasource(SOURCE).range()
    panel.with_target(ask.format(PromQueryFormat.HEATMAP)).calculate(False)
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    return panel.y_axis(heatmap.YAxisConfig().unit("s")).span(12)


def with_limits(panel: Panel, *limits: tuple[float, str]) -> Panel:
    """Draws a line at each limit, in its colour."""
    steps = [Threshold(None, "green"), *(Threshold(at, color) for at, color in limits)]
    panel.thresholds(dashboard.ThresholdsConfig().steps(steps))
    return panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE))


def with_exemplars(panel: Panel) -> Panel:
    """Shows single requests as points, by the ids that the metrics carry."""
    for target in panel.build().targets:
        target.exemplar = True
    return panel


def variable(name: str, label: str) -> Any:
    """A choice among a label's values; all of them at first."""
    choice = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(f"label_values(vit_ready, {name})")
    every = VariableOption(selected=True, text="All", value="$__all")
    choice.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).multi(True).include_all(True).all_value(".*")
    return choice.current(every)
