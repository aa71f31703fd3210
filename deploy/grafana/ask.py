"""Owns what the dashboard's queries say now, as a table; does not draw, and needs no Grafana.

`python deploy/grafana/ask.py http://localhost:9090` asks that Prometheus; `make monitoring-check` one of its own.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Column, Table

FILE: Final = Path(__file__).with_name("vit-serve.json")
INTERVAL: Final = "1m"  # what Grafana makes of $__rate_interval where metrics are scraped every 15 s
MOST: Final = 12  # series of a query that are printed
HIDDEN: Final = ("__name__", "job", "instance")  # labels that tell nothing in a table without a legend


@dataclass(frozen=True)
class Asked:
    """One query of a panel, with the dashboard's variables filled in, and what `legend` names its series."""

    panel: str
    expr: str
    legend: str


def queries(text: str, interval: str = INTERVAL) -> list[Asked]:
    """Every query of a dashboard's JSON: of all instances, over `interval` where Grafana chooses a span."""
    names = {"$__rate_interval": interval, "$job": ".*", "$instance": ".*"}
    found = []
    for panel in json.loads(text)["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for name, value in names.items():
                expr = expr.replace(name, value)
            found.append(Asked(panel["title"], expr, target.get("legendFormat", "")))
    return found


def answer(url: str, expr: str) -> list[dict[str, Any]]:
    """The series that a Prometheus gives for a query now. Raises httpx.HTTPError if it does not answer, or refuses."""
    reply = httpx.get(f"{url}/api/v1/query", params={"query": expr}, trust_env=False).raise_for_status()
    result: list[dict[str, Any]] = reply.json()["data"]["result"]
    return result


def named(asked: Asked, labels: dict[str, str]) -> str:
    """A series' name, as Grafana's legend has it."""
    name = asked.legend or ", ".join(f"{key}={value}" for key, value in labels.items() if key not in HIDDEN)
    for label, value in labels.items():
        name = name.replace(f"{{{{{label}}}}}", value)
    return name


def table(url: str, asked: list[Asked]) -> Table:
    """Panel, query, and its series with their values, the greatest first, up to a dozen."""
    rows = Table("panel", Column("query", overflow="fold"), Column("values now", overflow="fold"), show_lines=True)
    before = ""
    for each in asked:
        series = sorted(answer(url, each.expr), key=lambda one: -float(one["value"][1]))
        values = [f"{named(each, one['metric'])}: {float(one['value'][1]):.4g}" for one in series[:MOST]]
        more = [f"and {len(series) - MOST} more"] if len(series) > MOST else []
        rows.add_row(each.panel if each.panel != before else "", each.expr, "\n".join(values + more) or "none")
        before = each.panel
    return rows


def main(arguments: list[str]) -> int:
    """Prints the table; 2 if there is no Prometheus at the URL."""
    console = Console()
    if len(arguments) != 1:
        Console(stderr=True).print("ask.py http://localhost:9090   (where Prometheus is)", markup=False)
        return 2
    try:
        console.print(table(arguments[0].rstrip("/"), queries(FILE.read_text(encoding="utf-8"))))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        Console(stderr=True).print(f"{arguments[0]} does not answer as Prometheus does: {error}", markup=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
