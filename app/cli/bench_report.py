"""Owns how a bench is told to people: tables on a terminal, a page with plots; does not compute what it says."""

import html
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Row = tuple[str, ...]
_HEAD: Final = ("answered/s", "in time/s", "in time", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")
_REST: Final = ("refused", "other codes", "errors")
_REFUSALS: Final = ("429", "503")
_STYLE: Final = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.25rem; } h1, p, table, pre { margin: 0 0 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .875rem; display: block; overflow-x: auto; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8886; text-align: right; white-space: nowrap; }
.warning { padding: .5rem .75rem; border-left: .3rem solid #d08700; background: #d0870022; }
svg { display: block; width: 100%; height: auto; margin: 0 0 1rem; background: #fff; border-radius: .5rem; }
pre { white-space: pre-wrap; } footer { font-size: .875rem; opacity: .8; }
"""


def write_table(said: Mapping[str, Any]) -> None:
    """`said`: the document of a bench."""
    from app.cli.results import write_rows

    sys.stdout.write("".join(f"{line}\n" for line in (_subject(said), *_sentences(said), "")))
    for head, rows in _tables(said):
        write_rows(head, rows, numbers=head)
        sys.stdout.write("\n")
    for warning in said["run"]["warnings"]:
        sys.stdout.write(f"! {warning}\n")


def page(said: Mapping[str, Any]) -> str:
    """One HTML page that needs no other file; it has the whole document, too."""
    from app.insight.load import load_charts

    warnings = "".join(f'<p class="warning">{html.escape(each)}</p>' for each in said["run"]["warnings"])
    whole = html.escape(json.dumps({**said, "run": {**said["run"], "curve": [], "over_time": []}}, indent=1))
    sentences = "<br>".join(html.escape(each) for each in (_subject(said), *_sentences(said)))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>vit-serve bench</title>\n<style>{_STYLE}</style>\n"
        f"<h1>{html.escape(said['target']['url'])}</h1>\n"
        f"<pre>vit-serve {html.escape(shlex.join(said['arguments']))}</pre>\n<p>{sentences}</p>\n{warnings}\n"
        f"{''.join(_html(*table) for table in _tables(said))}\n{''.join(load_charts(said))}\n"
        f"<details><summary>All of it</summary><pre>{whole}</pre></details>\n"
        f"<footer>vit-serve {html.escape(said['version'])}, {html.escape(said['at'])}</footer>\n</html>\n"
    )


def _html(head: Row, rows: Sequence[Row]) -> str:
    lines = [("th", head), *(("td", row) for row in rows)]
    cells = ("".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) for tag, row in lines)
    return f"<table>{''.join(f'<tr>{each}</tr>' for each in cells)}</table>"


def _subject(said: Mapping[str, Any]) -> str:
    target, server = said["target"], said["target"]["server"] or {}
    named = ", ".join(f"{name} {value}" for name, value in server.items())
    return (
        f"POST {target['path']} ({target['api']}), {target['images']} pictures of "
        f"{target['mean_bytes'] / 1000:,.0f} kB on average{f'; {named}' if named else ''}"
    )


def _sentences(said: Mapping[str, Any]) -> Iterator[str]:
    load, run, search = said["load"], said["run"], said["search"]
    is_open = run["rate"] is not None
    kind = f"open loop, {run['rate']:,.1f}/s, {load['arrivals']}" if is_open else "closed loop"
    clients = f"{load['connections']} connections{' at most' if is_open else ''}"
    interrupted = ", interrupted" if said["interrupted"] else ""
    yield f"{kind}, {clients}, {run['seconds']:.1f} s after {load['warm_up_s']:g} s of warm-up{interrupted}"
    if search:
        found = "no rate held" if search["rate"] is None else f"{search['rate']:,.1f}/s is the highest rate that held"
        yield f"Peak, for a deadline of {run['deadline_ms']:g} ms: {found}. {search['reason']}"
    if kinds := {**run["statuses"], **run["errors"]}:
        yield "Not answered: " + ", ".join(f"{count} x {name}" for name, count in kinds.items())
    server = run["server"]
    if server["mean_batch"]:
        sizes = ", ".join(f"{count} up to {size}" for size, count in server["batches"].items())
        yield f"{server['mean_batch']:.1f} images in a batch on average: {sizes}"
    if server["cpu_ms_per_answer"]:
        yield f"{server['cpu_ms_per_answer']:.2f} ms of the server's CPU time an answer"
    late = f", sends {run['late_ms']['p99']:.2f} ms late at p99" if run["late_ms"] else ""
    yield f"Generator: {run['cpu_share']:.0%} of a core{late}"
    if is_open and not said["interrupted"]:
        recovery = run["recovery_s"]
        in_time = f"not within {load['recovery_s']:g} s" if recovery is None else f"within {recovery:.2f} s"
        yield f"After the load one client alone was answered {in_time}"


def _tables(said: Mapping[str, Any]) -> Iterator[tuple[Row, list[Row]]]:
    head: Row
    if search := said["search"]:
        head = ("sent/s", "held", *_HEAD, *_REST)
        steps = search["steps"]
        yield head, [(f"{s['rate']:,.1f}", "yes" if s["held"] else "no", *_cells(s["figures"])) for s in steps]
    else:
        yield (*_HEAD, *_REST), [_cells(said["run"])]
    if stages := said["run"]["server"]["stages_ms"]:
        columns = ("mean", "p50", "p90", "p99")
        head = ("server's stage", *(f"{column} ms" for column in columns))
        yield head, [(name, *(_ms(each.get(column), 2) for column in columns)) for name, each in stages.items()]


def _cells(run: Mapping[str, Any]) -> Row:
    latency = run["latency_ms"] or {}
    others = sum(count for code, count in run["statuses"].items() if code not in _REFUSALS)
    return (
        f"{run['throughput_per_s']:,.1f}",
        "-" if run["goodput_per_s"] is None else f"{run['goodput_per_s']:,.1f}",
        "-" if run["in_time"] is None else f"{run['in_time']:.2%}",
        *(_ms(latency.get(name)) for name in ("p50", "p90", "p99", "p99_9", "max")),
        *(f"{count:,}" for count in (run["refused"], others, sum(run["errors"].values()))),
    )


def _ms(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits if value < 1000 else 0}f}"
