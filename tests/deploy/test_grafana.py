"""Owns the proof that the dashboard is what its code says and that each query has data; Grafana itself is not run."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.deploy.loaded import Loaded, loaded
from tests.deploy.tools import DEPLOY, ROOT, output

GRAFANA = DEPLOY / "grafana"
BOARD = json.loads((GRAFANA / "vit-serve.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
OF_A_GPU = ("Memory of the GPU",)  # these have no data on a CPU
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def module(name: str) -> ModuleType:
    """A program of the dashboard's folder, not run."""
    spec = importlib.util.spec_from_file_location(name, GRAFANA / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found  # dataclasses look there
    spec.loader.exec_module(found)
    return found


ASK = module("ask")
QUERIES = ASK.queries((GRAFANA / "vit-serve.json").read_text(encoding="utf-8"), interval="30s")


@pytest.fixture(scope="module")
def under_load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """A Prometheus that has scraped the embedded model while it was asked for all sorts of things."""
    with loaded(tmp_path_factory.mktemp("loaded")) as found:
        yield found


def test_the_committed_dashboard_is_what_its_code_makes() -> None:
    made = output(sys.executable, GRAFANA / "dashboard.py", "-")
    assert made == (GRAFANA / "vit-serve.json").read_text(encoding="utf-8"), "python deploy/grafana/dashboard.py"


def test_its_panels_have_names_of_their_own_an_explanation_and_a_place_of_their_own() -> None:
    assert len(PANELS) >= 30
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        at = panel["gridPos"]
        for x in range(at.get("x", 0), at.get("x", 0) + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert x < 24
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_every_query_goes_to_the_chosen_prometheus_and_instances() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            metrics = re.findall(r"\b(?:up|job:\w+:\w+|(?:vit|process)_\w+)(?=[{\[])", target["expr"])
            assert metrics
            for name in metrics:
                chosen = ("$job",) if name.startswith("job:") else ("$job", "$instance")
                assert re.search(rf"{name}{{[^}}]*{'[^}]*'.join(map(re.escape, chosen))}", target["expr"]), target[
                    "expr"
                ]


def test_the_objectives_are_those_of_the_alerts() -> None:
    (burns,) = (panel for panel in PANELS if panel["title"] == "How fast the allowances burn")
    rules = (DEPLOY / "prometheus/alerts.yml").read_text()
    allowed = dict(re.findall(r"job:vit_(\w+):rate5m / job:vit_\w+:rate5m > 14\.4 \* ([\d.]+)", rules))
    assert len(allowed) == 2
    for target in burns["targets"]:
        assert target["expr"].endswith(f"/ {allowed[target['legendFormat']]}")
    steps = [step["value"] for step in burns["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert steps == [None, 1, *sorted({float(each) for each in re.findall(r"> ([\d.]+) \* 0\.", rules)})]


def test_the_runbook_names_panels_that_there_are() -> None:
    runbook = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
    named = {" ".join(name.split()) for name in re.findall(r"«(.+?)»", runbook, re.DOTALL)} - {"Names"}
    assert len(named) > 15
    assert named <= {panel["title"] for panel in PANELS}


@pytest.mark.operations
@pytest.mark.timeout(240)
@pytest.mark.parametrize("asked", QUERIES, ids=lambda asked: f"{asked.panel}: {asked.legend}")
def test_a_query_has_data(under_load: Loaded, asked: Any) -> None:
    series = ASK.answer(under_load.url, asked.expr)
    if asked.panel in OF_A_GPU:
        assert not series
        return
    assert series, asked.expr
    values = [float(each["value"][1]) for each in series]
    assert all(value == value for value in values), "not a number: it divides by what never happened"
    assert all(value >= 0 for value in values)
    names = [ASK.named(asked, each["metric"]) for each in series]
    assert len(set(names)) == len(names), "series of one name"


@pytest.mark.operations
@pytest.mark.timeout(240)
def test_what_they_say_is_what_was_done(under_load: Loaded) -> None:
    def said(panel: str) -> dict[str, float]:
        return {
            ASK.named(asked, each["metric"]): float(each["value"][1])
            for asked in QUERIES
            if asked.panel == panel
            for each in ASK.answer(under_load.url, asked.expr)
        }

    assert {"200", "415", "422", "503", "504"} <= said("Requests by status").keys()
    assert said("Errors and refusals")["not_an_image (decode)"] > 0
    assert said("Errors and refusals")["overloaded (admission)"] > 0
    assert said("Deadlines passed")["client"] > 0
    assert said("Images by how they ended")["result"] > 0
    assert 0 < said("Device and decoders busy")["device"] <= 1.01
    assert 1 <= said("Images in a batch")["mean"] <= said("Images in a batch")["limit"]
    capacity = said("Capacity left")
    assert 0 < capacity["served"] < 3 * capacity["possible"]
    assert said("Ready")["ready"] == said("Up")["up"] == 1
    stages = said("Where the milliseconds go")
    assert stages.keys() == {"read", "decode", "queue", "inference", "respond", "rest"}
    assert min(stages.values()) > 0


@pytest.mark.operations
@pytest.mark.timeout(240)
def test_single_requests_can_be_found_by_their_ids(under_load: Loaded) -> None:
    (panel,) = (panel for panel in PANELS if panel["title"] == "How long answers take")
    assert all(target["exemplar"] for target in panel["targets"])
    assert "--enable-feature=exemplar-storage" in COMPOSE["prometheus"]["command"]
    assert under_load.exemplars("vit_request_duration_seconds_bucket")


@pytest.mark.operations
@pytest.mark.timeout(240)
def test_the_table_of_all_queries_is_printed(under_load: Loaded) -> None:
    printed = output(sys.executable, GRAFANA / "ask.py", under_load.url, env={"COLUMNS": "200"})
    for panel in PANELS:
        assert panel["title"] in " ".join(printed.split()), panel["title"]
    assert printed.count("none") == len(OF_A_GPU)


def test_without_a_prometheus_the_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert ASK.main(["http://127.0.0.1:1"]) == 2
    assert ASK.main([]) == 2
    told = capsys.readouterr()
    assert "does not answer as Prometheus does" in told.err
    assert not told.out


def test_compose_provisions_grafana_with_what_is_here_for_this_machine_and_to_look_only() -> None:
    grafana, prometheus = COMPOSE["grafana"], COMPOSE["prometheus"]
    mounts = dict(mount.removesuffix(":ro").split(":") for mount in grafana["volumes"] if mount.endswith(":ro"))
    assert len(mounts) == len(grafana["volumes"])
    inside = {target: ROOT / source for source, target in mounts.items()}
    provisioning = inside["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == f"http://prometheus:{prometheus['ports'][0].rpartition(':')[2]}"
    (provider,) = yaml.safe_load((provisioning / "dashboards/vit-serve.yml").read_text())["providers"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (Path(home).parent, inside[home]) == (Path(provider["options"]["path"]), GRAFANA / "vit-serve.json")
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert grafana["environment"]["GF_AUTH_BASIC_ENABLED"] == "false"
    assert grafana["ports"][0].startswith("${BIND:-127.0.0.1}:")
    assert (grafana["read_only"], grafana["cap_drop"]) == (True, ["ALL"])
    (wanted,) = re.findall(r"grafana-foundation-sdk==\d+!([\d.]+)", (ROOT / "pyproject.toml").read_text())
    assert grafana["image"] == f"grafana/grafana:{wanted}"  # the one that the dashboard is made for
