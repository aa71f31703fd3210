"""Owns the tests of quantising/recipes.py."""

from pathlib import Path

import numpy as np
import pytest

from app.domain import Scoring
from app.errors import QuantizationFailed
from app.graphs.build import build_package
from app.graphs.folder import GRAPHS_NAME, Logits
from app.quantising.judge import logits_of
from app.quantising.recipes import RECIPES, quantise, save
from tests.graphs import tiny

CALIBRATION, JUDGED = tiny.blots(12), tiny.blots(60, seed=9)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of so many classes that int8 confuses some."""
    folder = tmp_path_factory.mktemp("recipes")
    tiny.saved(folder / "model", tiny.network(num_classes=300))
    build_package(str(folder / "model"), folder / "built")
    return folder / "built" / GRAPHS_NAME / "float32.xml"


def agreement(one: Logits, other: Logits) -> float:
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def test_the_gentlest_recipe_gives_layers_back_until_it_agrees(graph: Path, tmp_path: Path) -> None:
    reference = logits_of(graph, CALIBRATION, 1)
    found = {}
    for recipe in (RECIPES[0], RECIPES[-1]):
        save(quantise(recipe, graph, CALIBRATION, reference, 0.02, Scoring()), tmp_path / "int8.xml")
        found[recipe] = [
            agreement(logits_of(tmp_path / "int8.xml", each, 1), logits_of(graph, each, 1))
            for each in (CALIBRATION, JUDGED)
        ]
    assert found["plain"][0] < 1, "too easy to tell"
    assert found["sensitive layers in float"][0] >= 0.99
    assert found["sensitive layers in float"][1] > found["plain"][1]


def test_what_nncf_stumbles_over_is_told_in_one_line(graph: Path) -> None:
    with pytest.raises(QuantizationFailed, match="NNCF cannot quantise this network: ") as caught:
        quantise("plain", graph, np.zeros((2, 7, 7, 3), np.uint8), np.zeros((2, 300), np.float32), 0.02, Scoring())
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_an_os_error(graph: Path, tmp_path: Path) -> None:
    reference = logits_of(graph, CALIBRATION, 1)
    (tmp_path / "int8.bin").mkdir()
    with pytest.raises(OSError, match=r"int8\.xml: cannot be written"):
        save(quantise("plain", graph, CALIBRATION[:2], reference[:2], 0.02, Scoring()), tmp_path / "int8.xml")
