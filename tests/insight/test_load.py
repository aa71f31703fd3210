"""Owns the tests of the charts of a load: well-formed, with words as text, and only of what was measured."""

from dataclasses import asdict, replace
from typing import Any
from xml.etree import ElementTree

from app.insight.load import load_charts
from app.load.figures import figures_of
from app.load.peak import Peak, Step
from app.load.server_side import ServerSide
from tests.load.test_figures import OPEN, run_of

ROWS = [(100 + i / 100, 100 + i / 100, 100.01 + i / 100, 200 if i % 10 else 503) for i in range(1000)]
SERVER = ServerSide({"decode": {"mean": 2.0}, "total": {"mean": 4.0}}, 1.5, {"1": 2, "2": 2}, 1.0)
FIGURES = figures_of(replace(run_of(ROWS), server=SERVER), OPEN, 20.0)
EMPTY = figures_of(run_of([]), OPEN, 20.0)


def document(figures: Any, peak: Peak | None = None) -> dict[str, Any]:
    return {"run": asdict(figures), "search": None if peak is None else asdict(peak)}


def words(svg: str) -> str:
    return " ".join("".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.text)


def test_every_chart_is_well_formed_and_says_what_it_shows():
    peak = Peak(100.0, "", [Step(200.0, False, EMPTY), Step(100.0, True, FIGURES)])
    charts = [words(chart) for chart in load_charts(document(FIGURES, peak))]
    expected = ("Goodput", "Latency by percentile", "Second by second", "spent its time", "Images in a batch")
    assert len(charts) == len(expected)
    assert all(title in chart for title, chart in zip(expected, charts, strict=True))
    assert "the highest that held, 100.0/s" in charts[0]
    assert "deadline" in charts[1]
    assert "refused" in charts[2] and "failed" not in charts[2]
    assert "decode" in charts[3] and "total" not in charts[3]


def test_the_same_figures_make_the_same_charts():
    assert load_charts(document(FIGURES)) == load_charts(document(FIGURES))


def test_nothing_measured_draws_nothing():
    assert load_charts(document(EMPTY)) == []
