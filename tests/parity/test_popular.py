"""Owns the comparison of popular repositories' scores, from the picture on, with their own library's pipeline."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.parity.conftest import ROOT, run_reference
from tests.parity.repositories import REFUSED, TIMM, TRANSFORMERS

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
RUN_BY = {name: case[-1] for name, case in {**TRANSFORMERS, **TIMM}.items()}
WAYS = {"our own": "ours", "by transformers": "transformers", "by timm": "timm"}


@pytest.fixture(scope="module", params=["timm", "transformers5"])
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp(request.param)
    Image.fromarray(skimage.data.chelsea()).save(folder / "wide.png")
    Image.fromarray(skimage.data.coffee()[:, :333]).save(folder / "tall.png")
    Image.fromarray(skimage.data.astronaut()[:201, :201]).save(folder / "small.png")
    run_reference("make", request.param, folder, "popular.py")
    yield {
        path.parent.name.replace("--", "/", 1): json.loads(path.read_text()) for path in folder.glob("*/answer.json")
    }


def test_scores_are_those_of_the_librarys_own_pipeline(answers: dict[str, Any]) -> None:
    served = {name: answer for name, answer in answers.items() if name not in REFUSED}
    assert served.keys() in (TIMM.keys(), TRANSFORMERS.keys())
    for name, answer in served.items():
        assert "error" not in answer, (name, answer)
        assert answer["by_library"] is (RUN_BY[name] != "ours"), name
        ours, theirs = np.array(answer["scores"]), np.array(answer["theirs"])
        assert ours.shape == theirs.shape
        assert np.ptp(theirs, axis=0).max() > 0.01, name  # the pictures decide, and pixels that are off would show
        assert np.abs(ours - theirs).max() < 1e-4, (name, np.abs(ours - theirs).max())


def test_what_is_refused_says_why(answers: dict[str, Any]) -> None:
    refused = {name: answer for name, answer in answers.items() if name in REFUSED}
    assert refused
    for name, answer in refused.items():
        assert REFUSED[name] in answer["error"], (name, answer)
        assert len(answer["error"].splitlines()) == 1


def test_the_table_says_what_is_tested_here() -> None:
    text = (ROOT / "app" / "checkpoints" / "README.md").read_text().partition("## Twenty")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    stated = {name.strip("`"): what for cells in rows for name in cells[0].split(", ") for what in cells[2:3]}
    assert {name: WAYS[what] for name, what in stated.items() if not what.startswith("refused")} == RUN_BY
    assert {name for name, what in stated.items() if what.startswith("refused")} == REFUSED.keys()
