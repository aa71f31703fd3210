"""Owns what the benchmarks share in a run: the photographs, the report and where it is shown; does not measure."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmark import options
from tests.benchmark.load import Target
from tests.benchmark.photographs import write_photographs
from tests.benchmark.processes import machine_cpu_s, own_cpu_s
from tests.benchmark.report import Report

_REPORT = pytest.StashKey[Report]()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Collects; its tables are printed when all is done."""
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("the benchmarks read /proc, which only Linux has")
    stash = request.config.stash
    if _REPORT not in stash:
        stash[_REPORT] = Report(options.json_path())
    return stash[_REPORT]


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A folder of JPEG files to send, and how many; the port is still to be filled in."""
    folder = tmp_path_factory.mktemp("photographs")
    return Target(0, folder, write_photographs(folder, options.images_folder()))


@pytest.fixture(autouse=True)
def other_work(request: pytest.FixtureRequest, report: Report) -> Iterator[None]:
    """Tells how much of the machine went to others while the test ran: figures taken beside other work mean little."""
    machine_s, own_s, started_at = machine_cpu_s(), own_cpu_s(), time.monotonic()
    yield
    others_s = (machine_cpu_s() - machine_s) - (own_cpu_s() - own_s)
    report.other_work(request.node.name, others_s / (time.monotonic() - started_at))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the tables, ready to be pasted."""
    if _REPORT in config.stash:
        terminalreporter.section("benchmarks", sep="=")
        terminalreporter.write_line(config.stash[_REPORT].markdown())
