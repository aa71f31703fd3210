import re
import subprocess
import sys
from argparse import ArgumentError, ArgumentParser
from typing import get_args

import pytest
from pydantic import ValidationError

from app.api.protocols.registry import MODULES, open_routers
from app.cli.options import add_settings, read_settings
from app.settings import Settings
from tests.api.conftest import picture, service
from tests.benchmark.options import ROOT


def test_the_settings_know_the_same_names() -> None:
    [names, _] = get_args(Settings.model_fields["protocols"].annotation)
    assert set(get_args(names)) == set(MODULES)


def test_a_wrong_name_is_refused_with_the_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = ArgumentParser()
    add_settings(parser)
    with pytest.raises(ArgumentError, match="--protocols is .*kserv.*'kserve'"):
        read_settings(parser.parse_args(["--protocols", '["kserv"]']))
    for no_list in (5, "vertex", {"vertex": 1}):
        with pytest.raises(ValidationError, match="protocols"):
            Settings(protocols=no_list)  # type: ignore[arg-type]
    monkeypatch.setenv("VIT_PROTOCOLS", "kserve")
    with pytest.raises(ArgumentError, match="VIT_PROTOCOLS is 'kserve', but it should be JSON"):
        read_settings(parser.parse_args([]))


async def test_what_is_off_is_not_there() -> None:
    async with service(protocols=[]) as s:
        for path in ("/", "/models/m", "/predictions/m", "/v1/models/m:predict", "/invocations", "/vertex/predict"):
            assert (await s.client.post(path, content=picture())).status_code in (404, 405), path
        assert (await s.client.get("/ping")).status_code == 404


async def test_all_at_once_do_not_hide_one_another_nor_the_page() -> None:
    async with service(protocols=list(MODULES), model_aliases=["m"]) as s:
        for path in ("/", "/models/m", "/predictions/m", "/invocations", "/v1/classify"):
            assert (await s.client.post(path, content=picture())).status_code == 200, path
        for path in ("/ping", "/health", "/vertex/health", "/v1/models/m", "/v1/model", "/page/page.css", "/livez"):
            assert (await s.client.get(path)).status_code == 200, path


def test_what_is_off_is_not_imported() -> None:
    code = (
        "import sys; from app.settings import Settings; from app.api.protocols.registry import open_routers;"
        "list(open_routers(Settings(protocols=['torchserve', 'torchserve'])));"
        "print(*sorted(m for m in sys.modules if m.startswith('app.api.protocols.')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "app.api.protocols.torchserve" in out.split()
    assert not {"app.api.protocols.kserve", "app.api.protocols.huggingface", "app.api.protocols.oip"} & set(out.split())


def test_a_contract_named_twice_is_kept_once() -> None:
    assert len(list(open_routers(Settings(protocols=("kserve", "kserve"))))) == 1


README = (ROOT / "app/api/protocols/README.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, less its head."""
    table = re.findall(r"^\|(.*)\|$", README.partition(heading)[2].partition("\n## ")[0], re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in table[2:]]


def test_the_readme_says_what_is_on() -> None:
    default = Settings.model_fields["protocols"].default
    assert {row[0].strip("`"): row[2] for row in rows("# The contracts")} == {
        name: "on" if name in default else "off" for name in MODULES
    }


def test_every_result_in_the_readme_has_a_test_and_a_client_that_is_installed_for_it() -> None:
    pinned = (ROOT / "tests/clients/install.sh").read_text()
    shown = rows("## Shown with")
    assert len(shown) >= 8
    for _, client, _, _, test in shown:
        assert (ROOT / test.strip("`")).is_file(), test
        name, version = re.match(r"(curl|the same|\w+)(?: ([\d.]+))?", client).groups()  # type: ignore[union-attr]
        assert version is None or re.search(rf"{name}(\[.*?\])?[=>]={version}\b", pinned), client
